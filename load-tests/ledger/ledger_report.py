"""The page about a run."""

import datetime
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil

_ROOT: Final = Path(__file__).resolve().parents[2]
_WORDS: Final = {
    "missing": "answered, and no record",
    "double": "two different records with one id",
    "unknown": "records of answers to requests that nobody sent, or to other ones",
    "answered_twice": "prediction ids given to two requests",
    "answered_though_withheld": "answers given that are recorded as withheld",
    "deleted": "records that retention deleted before they were read",
    "answered": "requests answered",
    "unrecorded": "of these answered without a record, and told so",
    "told_unrecorded": "of these told by the record of a gap",
    "recorded_not_answered": "recorded, and failed for the client (killed, timed out)",
    "withheld": "of these recorded as withheld",
    "failed_records": "failures of versions recorded",
    "shipped_twice": "records in the topic once more (at least once after a crash)",
    "distinct": "distinct event ids",
    "seen_by_consumers": "records left by a dedupe over the last 8,192 event ids of each partition",
}


def facts(arguments: dict[str, Any], *, parts: tuple[str, ...]) -> dict[str, Any]:
    """With what and where it was run."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "running": list(parts),
        "arguments": arguments,
    }


def page(result: dict[str, Any]) -> str:
    """Markdown."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: dict[str, Any]) -> Iterator[str]:
    about, verdict = result["facts"], result["verdict"]
    yield f"# The ledger against the records, {about['date'][:10]}, commit {about['commit']}"
    yield ""
    yield f"**{'Kept' if verdict['is_kept'] else 'BROKEN'}**: {verdict['answered']:,} answers."
    yield ""
    yield f"- machine: {about['cores']} cores, {about['memory_gib']} GiB; {about['system']}"
    yield f"- running: {', '.join(about['running'])}, and the client on the same machine"
    yield "- options: " + ", ".join(f"{name} {value}" for name, value in about["arguments"].items())
    yield (
        f"- {result['rate_per_s']:,.0f} answers/s over {result['seconds']:,.0f} s, faults included; "
        "30-feature forest of 100 trees, one row a request, key check, validation and records on, no cache"
    )
    failed = ", ".join(f"{code} {count:,}" for code, count in sorted(result["codes"].items()))
    yield f"- failed for the client: {failed or 'none'}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, words in _WORDS.items():
        yield f"| {words} | {verdict[name]:,} |"
    yield ""
    yield "| what was done | after so many answers | until the next answer |"
    yield "|---|---|---|"
    for fault in result["faults"]:
        yield f"| {fault['kind']} | {fault['at']:,} | {fault['until_next_answer_s']:.2f} s |"


def commit() -> str:
    """Of the checkout; `-changed` where files differ from it."""
    found = _git("rev-parse", "--short", "HEAD")
    return f"{found}-changed" if _git("status", "--porcelain", "--untracked-files=no") else found


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(_ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("unknown" if done.returncode else "")
