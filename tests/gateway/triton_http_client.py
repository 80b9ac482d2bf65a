"""tritonclient over HTTP against a gateway, blocking and asyncio, in a process of its own.

python tests/gateway/triton_http_client.py TARGET MODEL KEY    # prints what it saw as JSON
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio

ROWS = np.linspace(0, 1, 18, dtype=np.float32).reshape(3, 6)


def tensor(*, is_binary: bool = True) -> Any:
    it = triton.InferInput("features", ROWS.shape, "FP32")
    it.set_data_from_numpy(ROWS, binary_data=is_binary)
    return it


def refusal(client: Any, model: str, headers: dict[str, str]) -> str:
    try:
        client.infer(model, [tensor()], headers=headers)
    except triton.InferenceServerException as error:
        return f"{error.status()}: {error.message()}"
    return ""


def blocking(target: str, model: str, headers: dict[str, str]) -> dict[str, Any]:
    client = triton.InferenceServerClient(target)

    def ask(is_binary: bool, **arguments: Any) -> Any:
        return client.infer(model, [tensor(is_binary=is_binary)], headers=dict(headers), **arguments)

    outputs = [triton.InferRequestedOutput(n, binary_data=False) for n in ("label", "probabilities")]
    in_bytes = ask(True, request_id="r-1", parameters={"slipway_unit": "u"}, timeout=5_000_000)
    in_json = ask(False, outputs=outputs, model_version="1")
    packed = [
        ask(True, request_compression_algorithm=how, response_compression_algorithm=how)
        for how in ("gzip", "deflate")
    ]
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "version_ready": client.is_model_ready(model, "1"),
        "unknown_ready": client.is_model_ready("nobody"),
        "server": client.get_server_metadata(),
        "metadata": client.get_model_metadata(model, headers=headers),
        "config": client.get_model_config(model, headers=headers),
        "index": client.get_model_repository_index(headers=headers),
        "labels": [label.decode() for label in in_bytes.as_numpy("label")],
        "json_labels": in_json.as_numpy("label").tolist(),
        "probabilities": [a.as_numpy("probabilities").tolist() for a in (in_bytes, in_json, *packed)],
        "id": in_bytes.get_response()["id"],
        "version": in_bytes.get_response()["model_version"],
        "parameters": sorted(in_bytes.get_response()["parameters"]),
        "without_key": refusal(client, model, {}),
        "unknown_model": refusal(client, "nobody", dict(headers)),
    }


async def asynchronous(target: str, model: str, headers: dict[str, str]) -> dict[str, Any]:
    async with triton_aio.InferenceServerClient(target) as client:
        answers = await asyncio.gather(
            *(client.infer(model, [tensor()], headers=dict(headers)) for _ in range(20))
        )
        index = await client.get_model_repository_index(headers=headers)
    return {"probabilities": [a.as_numpy("probabilities").tolist() for a in answers], "index": index}


def main() -> None:
    target, model, key = sys.argv[1:]
    headers = {"authorization": f"Bearer {key}"}
    seen = {
        "blocking": blocking(target, model, headers),
        "asyncio": asyncio.run(asynchronous(target, model, headers)),
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
