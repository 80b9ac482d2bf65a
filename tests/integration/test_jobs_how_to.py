"""How to use asynchronous jobs by curl: the document's commands, run as they stand there."""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.gateway.live import wait_for
from tests.jobs import live
from tests.jobs.live import Bench

pytestmark = pytest.mark.integration
HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "asynchronous-jobs.md"
HOOKS = "https://hooks.example.com/slipway/"
MARK = "-- the next block --"
VARYING = {
    *("job_id", "expires_at_s", "submitted_at", "expires_at", "finished_at", "data"),
    *("slipway_prediction_id", "slipway_feedback_token", "slipway_route_epoch"),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    # Slow enough for a job to be cancelled, and to expire.
    with live.bench(tmp_path_factory.mktemp("jobs"), delay_s=1.0) as it:
        yield it


def blocks_of(bench: Bench) -> list[tuple[str, str]]:
    """The document's blocks with their languages, spoken to the bench."""
    text = HOW_TO.read_text().replace("http://localhost:8000", bench.gateway.url)
    text = text.replace("slk_...", bench.gateway.key).replace(HOOKS, bench.receiver.url)
    text = text.replace("yard", bench.gateway.model)
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def answers(blocks: list[str], folder: Path) -> list[str]:
    """What each block says when all are typed into one shell."""
    script = "".join(f"{block}\nprintf '\\n%s\\n' '{MARK}'\n" for block in blocks)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [part.strip() for part in done.stdout.split(MARK)[:-1]]


def like(value: Any) -> Any:
    """A JSON value without what differs from run to run."""
    if isinstance(value, dict):
        return {k: type(entry) if k in VARYING else like(entry) for k, entry in value.items()}
    return [like(entry) for entry in value] if isinstance(value, list) else value


def test_the_commands_of_the_how_to_do_what_it_says(bench: Bench, tmp_path: Path) -> None:
    blocks = blocks_of(bench)
    said = iter(answers([block for language, block in blocks if language == "bash"], tmp_path))
    answer, compared = "", 0
    for language, block in blocks:
        if language == "bash":
            answer = next(said)
        elif language == "json":
            assert like(json.loads(answer)) == like(json.loads(block)), answer
        elif language == "text":
            assert answer == block.strip()
        compared += language in {"json", "text"}
    assert compared >= 8
    (expected,) = [block for language, block in blocks if language == "http"]
    seen = (tmp_path / "headers.txt").read_text().lower().splitlines()
    for line in expected.lower().splitlines():
        assert any(head.startswith(line.partition("019ab")[0].strip()) for head in seen), (line, seen)
    code: dict[str, Any] = {}
    for language, block in blocks:
        if language == "python":
            exec(block, code)
    check_signature(code, bench)
    reply = code["answer_of"]((tmp_path / "job.txt").read_text().strip(), bench.gateway.service.bootstrap)
    answered = asyncio.run(asyncio.wait_for(reply, 60))
    assert [output.name for output in answered.outputs] == ["label", "probabilities"]


def check_signature(code: dict[str, Any], bench: Bench) -> None:
    """The document's own check takes our callbacks, and nothing else."""
    path = f"/hooks/{bench.gateway.model}"
    _, headers, body = wait_for("the callback", lambda: bench.receiver.of(path))[0]
    how: dict[str, Any] = {"headers": {"authorization": f"Bearer {bench.gateway.key}"}, "timeout": 10}
    secret = requests.get(f"{bench.gateway.url}/v1/callback-secret", **how).json()["secret"]
    code["verify"](secret, headers, body)
    assert json.loads(body)["state"] == "DONE"
    with pytest.raises(ValueError, match="not ours"):
        code["verify"](secret, headers, body + b" ")
    with pytest.raises(ValueError, match="too long ago"):
        code["verify"](secret, {**headers, "webhook-timestamp": "1700000000"}, body)
