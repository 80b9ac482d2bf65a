"""Bare Ray Serve: its gRPC proxy in front of one replica that holds the model.

    python ray_app.py GRPC_PORT HTTP_PORT MODEL.onnx FOLDER

Tuned or as installed is decided by the environment alone.
"""

import signal
import sys
from typing import Any, Final

import numpy as np
import onnxruntime
import ray
from ray import serve
from ray.serve.config import gRPCOptions

from slipway.oip import open_inference_pb2 as pb

REGISTER: Final = "slipway.oip.open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server"
ATTEMPTS: Final = 3


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
class Forest:
    """One model, one method."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    async def ModelInfer(self, request: Any) -> Any:
        """Bytes to an array, the model, an array to bytes."""
        features = np.frombuffer(request.raw_input_contents[0], "<f4").reshape(request.inputs[0].shape)
        labels, probabilities = self._session.run(None, {self._input: features})
        texts = b"".join(b"\1\0\0\0%d" % label for label in labels)
        answer = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
        answer.outputs.add(name="label", datatype="BYTES", shape=labels.shape)
        answer.outputs.add(name="probabilities", datatype="FP32", shape=probabilities.shape)
        answer.raw_output_contents.extend((texts, probabilities.tobytes()))
        return answer


def start_cluster(folder: str) -> None:
    """One node. It gives its own node 30 s to appear, fixed in its source: too little on a busy machine."""
    for attempt in range(ATTEMPTS):
        try:
            ray.init(
                num_cpus=2,
                _node_ip_address="127.0.0.1",
                _temp_dir=folder,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=160 * 1024 * 1024,
            )
            return
        except Exception:  # it is what Ray raises
            ray.shutdown()
            if attempt == ATTEMPTS - 1:
                raise


def main(grpc_port: str, http_port: str, path: str, folder: str) -> None:
    """Serve until the process is ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    start_cluster(folder)
    try:
        grpc_options = gRPCOptions(port=int(grpc_port), grpc_servicer_functions=[REGISTER])
        serve.start(http_options={"host": "127.0.0.1", "port": int(http_port)}, grpc_options=grpc_options)
        deployment: Any = Forest
        serve.run(deployment.bind(path), name="forest", route_prefix="/")
        signal.pause()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
