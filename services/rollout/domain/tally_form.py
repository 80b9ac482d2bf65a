"""A tally as plain values and back, for a jsonb column. Blocks of units are saved by themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from services.rollout.domain import evidence_form as forms
from services.rollout.domain import unit_cap
from services.rollout.domain.arm_tally import ArmTally, RivalTally
from services.rollout.domain.arms_seen import ArmSeen
from services.rollout.domain.comparison import Comparison
from services.rollout.domain.history import History
from services.rollout.domain.label_coverage import ArmCoverage, Cohort, Coverage
from services.rollout.domain.latency_line import LatencyLine
from services.rollout.domain.sample_ratio import SampleRatio
from services.rollout.domain.shadow import ShadowTally
from services.rollout.domain.single_class import Answers
from services.rollout.domain.slow_line import SlowLine
from services.rollout.domain.tally import Late, Tally
from services.rollout.domain.unit_cap import NO_UNITS, UnitCap

_ASSIGNED, _IN_ARMS = "assigned", "arms"


def to_plain(tally: Tally) -> dict[str, Any]:
    """The tally as values that JSON has; its log e-values are exact doubles."""
    return {
        "rollout_id": tally.rollout_id,
        "step_rows": tally.step_rows,
        "step_canary_rows": tally.step_canary_rows,
        "canary": _arm(tally.canary),
        "champion": _arm(tally.champion),
        "rivals": [{**asdict(rival), "arm": _arm(rival.arm)} for rival in tally.rivals],
        "answers": asdict(tally.answers),
        "log_ratios": tally.log_ratios,
        "bake_log_ratios": tally.bake_log_ratios,
        "slow_log_ratios": tally.slow_log_ratios,
        "baseline": tally.baseline,
        "slow_second": tally.slow_second,
        "offsets": tally.offsets,
        "comparison": _comparison(tally.comparison),
        "shadow": {
            **asdict(replace(tally.shadow, latency=SlowLine())),
            "latency": _slow(tally.shadow.latency),
        },
        "late": asdict(tally.late),
        "history": asdict(tally.history),
    }


def from_plain(plain: dict[str, Any]) -> Tally:
    """The tally that `to_plain` took apart; one of before has seen nothing of what came later."""
    return Tally(
        **{
            **plain,
            "canary": _to_arm(plain["canary"]),
            "champion": _to_arm(plain["champion"]),
            "rivals": tuple(_to_rival(rival) for rival in plain.get("rivals", ())),
            "answers": _to_answers(plain.get("answers", {})),
            "log_ratios": tuple(plain["log_ratios"]),
            "bake_log_ratios": tuple(plain["bake_log_ratios"]),
            "slow_log_ratios": tuple(plain["slow_log_ratios"]),
            "offsets": tuple((source, offset) for source, offset in plain["offsets"]),
            "comparison": _to_comparison(plain.get("comparison")),
            "shadow": _to_shadow(plain.get("shadow")),
            "late": Late(**plain.get("late", {})),
            "history": History(**plain.get("history", {})),
        }
    )


def _to_rival(plain: Mapping[str, Any]) -> RivalTally:
    arm, ratios = _to_arm(plain["arm"]), tuple(plain["log_ratios"])
    return RivalTally(version=plain["version"], arm=arm, log_ratios=ratios)


def _to_answers(plain: Mapping[str, Any]) -> Answers:
    pure = tuple((name, weight) for name, weight in plain.get("pure", ()))
    return Answers(total=plain.get("total", 0.0), pure=pure)


def new_blocks(before: Tally, after: Tally) -> Iterator[tuple[str, int, bytes]]:
    """The blocks of units that are no longer what they were: filter, index, bits."""
    old = dict(_caps(before.comparison))
    for name, cap in _caps(after.comparison):
        for at, block in unit_cap.new_blocks(old.get(name, NO_UNITS), cap).items():
            yield name, at, block


def forgotten_filters(before: Tally, after: Tally) -> list[str]:
    """Filters that were begun anew, whose old blocks must go."""
    now = dict(_caps(after.comparison))
    return [
        name for name, cap in _caps(before.comparison) if cap.blocks and not now.get(name, NO_UNITS).blocks
    ]


def with_blocks(tally: Tally, blocks: Mapping[str, Mapping[int, bytes]]) -> Tally:
    """A tally with the blocks that were saved of it."""
    it = tally.comparison
    caps = {name: unit_cap.restored(cap, blocks.get(name, {})) for name, cap in _caps(it)}
    table = forms.with_caps(it.table, caps)
    filled = replace(it, table=table, units=caps[_ASSIGNED], arm_units=caps[_IN_ARMS])
    return replace(tally, comparison=filled)


def _caps(comparison: Comparison) -> Iterator[tuple[str, UnitCap]]:
    yield _ASSIGNED, comparison.units
    yield _IN_ARMS, comparison.arm_units
    yield from forms.caps_of(comparison.table)


def _arm(arm: ArmTally) -> dict[str, Any]:
    return {
        "requests": arm.requests,
        "rows": arm.rows,
        "failed": arm.failed,
        "slow": arm.slow,
        "malformed": arm.malformed,
        "classes": arm.classes,
        "fault": arm.fault,
    }


def _to_arm(plain: dict[str, Any]) -> ArmTally:
    return ArmTally(**{**plain, "classes": tuple((name, count) for name, count in plain["classes"])})


def _comparison(it: Comparison) -> dict[str, Any]:
    return {
        "table": forms.to_plain(it.table),
        "ratio": asdict(it.ratio) if it.ratio else None,
        "units": forms.cap_to_plain(it.units),
        "coverage": _coverage(it.coverage) if it.coverage else None,
        "slow": _slow(it.slow),
        "arms": [
            {
                "version": arm.version,
                "moments": forms.moments_to_plain(arm.moments),
                "events": arm.events,
                "effect": forms.effect_to_plain(arm.effect),
            }
            for arm in it.arms
        ],
        "arm_units": forms.cap_to_plain(it.arm_units),
    }


def _to_comparison(plain: dict[str, Any] | None) -> Comparison:
    if plain is None:
        return Comparison()
    return Comparison(
        table=forms.from_plain(plain["table"]),
        ratio=_to_ratio(plain["ratio"]),
        units=forms.cap_from_plain(plain["units"]),
        coverage=_to_coverage(plain["coverage"]),
        slow=_to_slow(plain["slow"]),
        arms=tuple(
            ArmSeen(
                version=arm["version"],
                moments=forms.moments_from_plain(arm["moments"]),
                events=arm["events"],
                effect=forms.effect_from_plain(arm["effect"]),
            )
            for arm in plain["arms"]
        ),
        arm_units=forms.cap_from_plain(plain["arm_units"]),
    )


def _to_ratio(plain: dict[str, Any] | None) -> SampleRatio | None:
    if plain is None:
        return None
    return SampleRatio(
        shares=tuple(plain["shares"]), counts=tuple(plain["counts"]), closed_log_e=plain["closed_log_e"]
    )


def _coverage(it: Coverage) -> dict[str, Any]:
    cohorts = [
        [c.index, c.share, c.canary.served, c.canary.labelled, c.champion.served, c.champion.labelled]
        for c in it.open
    ]
    return {**asdict(replace(it, open=())), "open": cohorts}


def _to_coverage(plain: dict[str, Any] | None) -> Coverage | None:
    if plain is None:
        return None
    cohorts = tuple(
        Cohort(
            index=index,
            share=share,
            canary=ArmCoverage(served=canary[0], labelled=canary[1]),
            champion=ArmCoverage(served=champion[0], labelled=champion[1]),
        )
        for index, share, *both in plain["open"]
        for canary, champion in [(both[:2], both[2:])]
    )
    return Coverage(
        **{
            **plain,
            "open": cohorts,
            "canary": ArmCoverage(**plain["canary"]),
            "champion": ArmCoverage(**plain["champion"]),
            "log_missing": tuple(plain["log_missing"]),
            "log_labelled": tuple(plain["log_labelled"]),
        }
    )


def _slow(slow: SlowLine) -> dict[str, Any]:
    return {"line": slow.line.buckets, "fresh": slow.fresh, "cuts_s": slow.cuts_s}


def _to_slow(plain: dict[str, Any]) -> SlowLine:
    buckets = tuple((bucket, count) for bucket, count in plain["line"])
    return SlowLine(
        line=LatencyLine(buckets=buckets), fresh=tuple(plain["fresh"]), cuts_s=tuple(plain["cuts_s"])
    )


def _to_shadow(plain: dict[str, Any] | None) -> ShadowTally:
    return ShadowTally() if plain is None else ShadowTally(**{**plain, "latency": _to_slow(plain["latency"])})
