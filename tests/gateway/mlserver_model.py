"""A custom runtime for MLServer, run in MLServer's own environment: a stranger behind the gateway.

Rows whose first number is 666 make a whole call fail.
"""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Touchy(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri)
        self._input = self._session.get_inputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        features = NumpyCodec.decode_input(payload.inputs[0])
        if (features[:, 0] == 666).any():
            raise ValueError("a row that this model cannot bear")
        labels, probabilities = self._session.run(None, {self._input: features})
        outputs = [
            StringCodec.encode_output("label", [str(label) for label in labels]),
            NumpyCodec.encode_output("probabilities", probabilities),
        ]
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=outputs)
