"""The ceiling: grpc.aio on uvloop with the model in the same process, and no check at all.

python raw_server.py PORT MODEL.onnx
"""

import sys
from typing import Any

import grpc.aio
import numpy as np
import onnxruntime
import uvloop

from slipway.oip import open_inference_pb2 as pb
from slipway.oip import open_inference_pb2_grpc as pb_grpc


class Forest(pb_grpc.GRPCInferenceServiceServicer):
    """One model, one method."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    async def ModelInfer(self, request: Any, _context: Any) -> Any:
        """Bytes to an array, the model, an array to bytes."""
        features = np.frombuffer(request.raw_input_contents[0], "<f4").reshape(request.inputs[0].shape)
        labels, probabilities = self._session.run(None, {self._input: features})
        texts = b"".join(b"\1\0\0\0%d" % label for label in labels)
        answer = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
        answer.outputs.add(name="label", datatype="BYTES", shape=labels.shape)
        answer.outputs.add(name="probabilities", datatype="FP32", shape=probabilities.shape)
        answer.raw_output_contents.extend((texts, probabilities.tobytes()))
        return answer


async def serve(port: str, path: str) -> None:
    """Until the process is ended."""
    server = grpc.aio.server()
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(Forest(path), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
