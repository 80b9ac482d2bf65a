"""A small server of the Open Inference Protocol: an upstream for trials, run as a process of its own.

    python tests/gateway/oip_server.py PORT MODEL.onnx [--delay-s S] [--row-delay-s S] [--row-cost-s S]
        [--status CODE] [--typed] [--nan] [--connection-age-ms MS] [--log FILE]

A delay is waited for by each call, many at a time; a cost by row after row, one at a time.

It keeps nothing of ours but the protocol. Rows whose first number is 666 make a whole call fail.
"""

import argparse
import asyncio
import struct
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime

from slipway.oip import open_inference_pb2 as oip
from slipway.oip import open_inference_pb2_grpc as oip_grpc


class OnnxService(oip_grpc.GRPCInferenceServiceServicer):
    def __init__(self, path: str, arguments: argparse.Namespace) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options)
        self._delay_s = arguments.delay_s
        self._row_delay_s = arguments.row_delay_s
        self._row_cost_s = arguments.row_cost_s
        self._computing = asyncio.Lock()
        self._status = arguments.status
        self._is_typed = arguments.typed
        self._is_nan = arguments.nan
        self._log = arguments.log

    def _note(self, what: str) -> None:
        if self._log:
            with Path(self._log).open("a") as log:
                log.write(what + "\n")

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self._note("called")
        if self._status:
            await context.abort(grpc.StatusCode[self._status], "as it was told")
        tensor = request.inputs[0]
        features = np.frombuffer(request.raw_input_contents[0], dtype="<f4").reshape(tuple(tensor.shape))
        if (features[:, 0] == 666).any():
            await context.abort(grpc.StatusCode.INTERNAL, "a row that this model cannot bear")
        if delay_s := self._delay_s + self._row_delay_s * len(features):
            try:
                await asyncio.sleep(delay_s)
            except asyncio.CancelledError:
                self._note("cancelled")
                raise
        if self._row_cost_s:
            async with self._computing:
                await asyncio.sleep(self._row_cost_s * len(features))
        label, probabilities = self._session.run(None, {self._session.get_inputs()[0].name: features})
        if self._is_nan:
            probabilities = np.full_like(probabilities, np.nan)
        texts = [str(value).encode() for value in label]
        response = oip.ModelInferResponse(
            model_name=request.model_name, model_version=request.model_version, id=request.id
        )
        response.outputs.add(name="label", datatype="BYTES", shape=[len(texts)])
        response.outputs.add(name="probabilities", datatype="FP32", shape=probabilities.shape)
        if self._is_typed:
            response.outputs[0].contents.bytes_contents.extend(texts)
            response.outputs[1].contents.fp32_contents.extend(probabilities.ravel())
            return response
        response.raw_output_contents.append(b"".join(struct.pack("<I", len(t)) + t for t in texts))
        response.raw_output_contents.append(np.ascontiguousarray(probabilities, dtype="<f4").tobytes())
        return response


async def serve(arguments: argparse.Namespace) -> None:
    options = [("grpc.so_reuseport", 0)]
    if arguments.connection_age_ms:
        options.append(("grpc.max_connection_age_ms", arguments.connection_age_ms))
        options.append(("grpc.max_connection_age_grace_ms", 100))
    server = grpc.aio.server(options=options)
    service = OnnxService(arguments.model, arguments)
    oip_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
    server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("model")
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--row-delay-s", type=float, default=0.0, help="more for each row")
    parser.add_argument("--row-cost-s", type=float, default=0.0, help="of each row, one after the other")
    parser.add_argument("--status", default="", help="answer every call with this status")
    parser.add_argument("--typed", action="store_true", help="answer with contents, not raw")
    parser.add_argument("--nan", action="store_true", help="answer with probabilities that are no numbers")
    parser.add_argument("--connection-age-ms", type=int, default=0, help="close connections so old")
    parser.add_argument("--log", default="", help="note calls and cancellations here")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
