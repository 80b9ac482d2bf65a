"""Let honest callers and thieves ask, and write down who is suspected, when, and how good a clone is."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import extraction_data
import numpy as np
from extraction_clients import HALF_REAL, HONEST, MADE, REAL, Client
from extraction_data import DEVELOPMENT, ELEC2_TRAINED, REPORTED
from extraction_room import WANTED, Room, Seen
from machine import commit, machine, today

ROOT: Final = Path(__file__).resolve().parents[2]
_GROUPS: Final[Mapping[str, Mapping[str, Client]]] = {
    "nothing real": MADE,
    "real rows to begin with": HALF_REAL,
    "real rows": REAL,
}
_YEARS_LATER: Final = 40_000


def thieves(room: Room, *, most: int) -> Iterator[dict[str, Any]]:
    """Each thief once."""
    for group, clients in _GROUPS.items():
        for name, client in clients.items():
            seen = room.watch(client, most=most)
            at = seen.alarm_at or len(seen.asked)
            yield {
                "data": room.data.name,
                "group": group,
                "client": name,
                "asked": len(seen.asked),
                "alarm_at": seen.alarm_at,
                "signal": seen.suspicion.signal if seen.suspicion else "",
                "agreement": room.agreement(seen.asked[:at]),
                "good_after": room.good_after(seen.asked),
            }


def honest(room: Room, *, callers: int, rows: int) -> Iterator[dict[str, Any]]:
    """So many honest callers of each kind, each with a seed of its own."""
    for name, client in HONEST.items():
        seen = [room.watch(client, most=rows, seed=1000 + at) for at in range(callers)]
        yield _counted(room.data.name, name, seen)


def drifted(room: Room, *, callers: int, rows: int) -> Iterator[dict[str, Any]]:
    """Honest callers of Elec2's model in later years, each at a time of its own; none beside them."""
    everything, _ = extraction_data.elec2_rows()
    rng = np.random.default_rng(1)
    for name, first in (("the year after training", ELEC2_TRAINED), ("two years later", _YEARS_LATER)):
        last = min(first + 17_000, len(everything)) - rows
        starts = rng.integers(first, last, size=callers)
        seen = [room.watch_rows(everything[start : start + rows]) for start in starts]
        yield _counted("elec2", f"drift: {name}, in order", seen)


def _counted(data: str, name: str, seen: list[Seen]) -> dict[str, Any]:
    rates: dict[str, float] = {}
    for each in seen:
        for kind, share in each.watch.shares.items():
            rates[kind] = max(rates.get(kind, 0.0), share.rate if share.asked >= 30 else 0.0)
    return {
        "data": data,
        "client": name,
        "callers": len(seen),
        "rows": sum(len(each.asked) for each in seen),
        "alarms": dict(Counter(each.suspicion.signal for each in seen if each.suspicion)),
        "highest_shares": rates,
    }


def report(found: dict[str, list[dict[str, Any]]], *, heading: list[str]) -> str:
    """The whole page."""
    lines = [*heading, "", "## Thieves", ""]
    lines += ["| data | has | thief | alarm after | signal | clone agrees then | 80 % after | in time |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in found["thieves"]:
        at = f"{row['alarm_at']} rows" if row["alarm_at"] else f"none in {row['asked']}"
        lines += [
            f"| {row['data']} | {row['group']} | {row['client']} | {at} | {row['signal'] or '-'} "
            f"| {row['agreement']:.0%} | {row['good_after'] or 'never'} | {_in_time(row)} |"
        ]
    lines += [
        "",
        "## Honest callers",
        "",
        "| data | caller | callers | rows | suspected |",
        "|---|---|---|---|---|",
    ]
    for row in found["honest"]:
        alarms = ", ".join(f"**{count}: {signal}**" for signal, count in row["alarms"].items()) or "none"
        lines += [f"| {row['data']} | {row['client']} | {row['callers']} | {row['rows']:,} | {alarms} |"]
    return "\n".join([*lines, "", *_totals(found["honest"])]) + "\n"


def _in_time(row: dict[str, Any]) -> str:
    if not row["alarm_at"]:
        return "**no**" if max(row["agreement"], bool(row["good_after"])) >= WANTED else "no clone"
    return "yes" if row["agreement"] < WANTED and not 0 < row["good_after"] < row["alarm_at"] else "**no**"


def _totals(rows: list[dict[str, Any]]) -> Iterator[str]:
    for name, chosen in (("chosen by", DEVELOPMENT), ("reported", REPORTED)):
        of = [row for row in rows if row["data"] in chosen]
        if not of:
            continue
        callers, asked = sum(row["callers"] for row in of), sum(row["rows"] for row in of)
        alarms = sum(sum(row["alarms"].values()) for row in of)
        yield (
            f"Data {name} ({', '.join(dict.fromkeys(row['data'] for row in of))}): {alarms} of {callers} "
            f"honest callers suspected, {1000 * alarms / callers:.1f} of 1,000; "
            f"{1e6 * alarms / asked:.0f} alarms in a million rows ({asked:,} asked)."
        )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=40, help="honest callers of each kind and data set")
    parser.add_argument("--rows", type=int, default=200, help="that each honest caller asks")
    parser.add_argument("--stolen", type=int, default=400, help="rows that a thief may ask")
    names = sorted({**DEVELOPMENT, **REPORTED})
    parser.add_argument("--data", action="append", choices=names, help="only these; all when omitted")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="where the report goes")
    arguments = parser.parse_args()
    begun, how = time.monotonic(), {"callers": arguments.callers, "rows": arguments.rows}
    found: dict[str, list[dict[str, Any]]] = {"thieves": [], "honest": []}
    for name, make in {**REPORTED, **DEVELOPMENT}.items():
        if arguments.data and name not in arguments.data:
            continue
        room = Room(make())
        found["thieves"] += thieves(room, most=arguments.stolen)
        found["honest"] += honest(room, **how)
        if name == "elec2":
            found["honest"] += drifted(room, **how)
        print(name, f"{time.monotonic() - begun:.0f} s", flush=True)
        _write(found, arguments.out, heading=_heading(begun))


def _heading(begun: float) -> list[str]:
    minutes = (time.monotonic() - begun) / 60
    return [
        f"# Extraction alarms, {today()}, commit {commit()}",
        "",
        f"- {machine()}; {minutes:.0f} minutes of a busy machine; seeds are fixed",
        f"- thresholds and rules were chosen on {', '.join(DEVELOPMENT)}, and on no other",
    ]


def _write(found: dict[str, list[dict[str, Any]]], out: Path, *, heading: list[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    name = f"{today()}-{commit()}"
    (out / f"{name}.md").write_text(report(found, heading=heading))
    (out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
