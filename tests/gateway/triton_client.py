"""tritonclient against a gateway, in a process of its own: it registers the same protobuf names as our stubs.

python tests/gateway/triton_client.py TARGET MODEL KEY    # prints what it saw as JSON
"""

import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton


def refusal(client: Any, model: str, tensor: Any, headers: dict[str, str]) -> str:
    try:
        client.infer(model, [tensor], headers=headers)
    except triton.InferenceServerException as error:
        return f"{error.status()}: {error.message()}"
    return ""


def main() -> None:
    target, model, key = sys.argv[1:]
    headers = {"authorization": f"Bearer {key}"}
    client = triton.InferenceServerClient(target)
    rows = np.linspace(0, 1, 18, dtype=np.float32).reshape(3, 6)
    tensor = triton.InferInput("features", rows.shape, "FP32")
    tensor.set_data_from_numpy(rows)
    wanted = [triton.InferRequestedOutput("probabilities")]
    answer = client.infer(
        model, [tensor], request_id="r-1", headers=headers, parameters={"slipway_unit": "u"}
    )
    partly = client.infer(
        model, [tensor], outputs=wanted, headers=headers, model_version="1", timeout=5_000_000
    )
    seen = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "version_ready": client.is_model_ready(model, "1"),
        "unknown_ready": client.is_model_ready("nobody"),
        "server": client.get_server_metadata(as_json=True),
        "index": client.get_model_repository_index(headers=headers, as_json=True),
        "config": client.get_model_config(model, headers=headers, as_json=True),
        "metadata": client.get_model_metadata(model, headers=headers, as_json=True),
        "labels": [label.decode() for label in answer.as_numpy("label")],
        "probabilities": answer.as_numpy("probabilities").tolist(),
        "id": answer.get_response().id,
        "version": answer.get_response().model_version,
        "parameters": sorted(answer.get_response().parameters),
        "partly": [output.name for output in partly.get_response().outputs],
        "without_key": refusal(client, model, tensor, {}),
        "unknown_model": refusal(client, "nobody", tensor, headers),
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
