"""A custom runtime for MLServer, as its documentation shows one: ONNX in, label and probabilities out."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Forest(MLModel):  # type: ignore[misc]
    """One model, one method."""

    async def load(self) -> bool:
        """Open the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = self.settings.parameters.uri
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Decode, the model, encode: all by MLServer's own codecs."""
        features = NumpyCodec.decode_input(payload.inputs[0])
        labels, probabilities = self._session.run(None, {self._input: features})
        outputs = [
            StringCodec.encode_output("label", [str(label) for label in labels]),
            NumpyCodec.encode_output("probabilities", probabilities),
        ]
        return InferenceResponse(
            model_name=self.name, model_version=self.version, id=payload.id, outputs=outputs
        )
