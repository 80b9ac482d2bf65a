"""A small server of the Open Inference Protocol: an upstream for trials, run as a process of its own.

    python tests/gateway/oip_server.py PORT MODEL.onnx [--delay-s S] [--row-cost-s S]

A delay is waited for by each call, many at a time; a cost by row after row, one at a time.

It keeps nothing of ours but the protocol. Rows whose first number is 666 make a whole call fail.
"""

import argparse
import asyncio
import struct
from typing import Any

import grpc
import numpy as np
import onnxruntime

from slipway.oip import open_inference_pb2 as oip
from slipway.oip import open_inference_pb2_grpc as oip_grpc


class OnnxService(oip_grpc.GRPCInferenceServiceServicer):
    def __init__(self, path: str, delay_s: float, row_cost_s: float = 0.0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options)
        self._delay_s = delay_s
        self._row_cost_s = row_cost_s
        self._computing = asyncio.Lock()

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        tensor = request.inputs[0]
        features = np.frombuffer(request.raw_input_contents[0], dtype="<f4").reshape(tuple(tensor.shape))
        if (features[:, 0] == 666).any():
            await context.abort(grpc.StatusCode.INTERNAL, "a row that this model cannot bear")
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if self._row_cost_s:
            async with self._computing:
                await asyncio.sleep(self._row_cost_s * len(features))
        label, probabilities = self._session.run(None, {self._session.get_inputs()[0].name: features})
        texts = [str(value).encode() for value in label]
        response = oip.ModelInferResponse(
            model_name=request.model_name, model_version=request.model_version, id=request.id
        )
        response.outputs.add(name="label", datatype="BYTES", shape=[len(texts)])
        response.outputs.add(name="probabilities", datatype="FP32", shape=probabilities.shape)
        response.raw_output_contents.append(b"".join(struct.pack("<I", len(t)) + t for t in texts))
        response.raw_output_contents.append(np.ascontiguousarray(probabilities, dtype="<f4").tobytes())
        return response


async def serve(port: int, path: str, *, delay_s: float, row_cost_s: float) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    oip_grpc.add_GRPCInferenceServiceServicer_to_server(OnnxService(path, delay_s, row_cost_s), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("model")
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--row-cost-s", type=float, default=0.0)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.model, delay_s=given.delay_s, row_cost_s=given.row_cost_s))


if __name__ == "__main__":
    main()
