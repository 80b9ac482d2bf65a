"""A rollout as a page that people read."""

from collections.abc import Iterator
from datetime import UTC, datetime

from slipway.rollout_report.document import time_text
from slipway.rollout_report.story import Leg, Story, tell
from slipway.rollout_report.words import duration, effect_of, evidence, samples, share
from slipway.v1.rollout_pb2 import RolloutReport


def page(report: RolloutReport, *, picture: str) -> str:
    """The report in Markdown; `picture` is the file beside it."""
    story = tell(report)
    lines = [
        *_head(report, story),
        *_list("What was proven", story.proven, nothing="Nothing."),
        *_list("What was not", story.not_proven, nothing="Nothing is left open."),
        *_steps(story),
        "## Curves",
        "",
        f"![evidence, samples and weight over time]({picture})",
        "",
        *_decisions(report),
        "## Policy",
        "",
        f"Spec of {report.model}, revision {report.spec_revision}:",
        "",
        "```yaml",
        report.yaml.rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _head(report: RolloutReport, story: Story) -> Iterator[str]:
    rivals = f" with rivals {', '.join(report.rivals)}" if report.rivals else ""
    yield f"# {report.model}: version {report.version}{rivals}, {story.outcome}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    rows = {
        "rollout": report.rollout_id,
        "version": report.version + rivals,
        "champion when it began": report.champion_version or "none",
        "started by": story.started_by,
        "why": story.reason,
        "ended as" if story.outcome != "under way" else "stands at": f"{report.state}: {story.cause}",
        "spec revision": str(report.spec_revision),
        "quality before": story.quality or "nothing was said of it",
        "took": _took(story),
    }
    for name, value in rows.items():
        yield f"| {name} | {_cell(value)} |"
    yield ""


def _took(story: Story) -> str:
    if not story.legs or story.legs[-1].ended_s is None:
        return "not ended"
    return duration(story.legs[-1].ended_s - story.legs[0].began_s)


def _list(title: str, sentences: tuple[str, ...], *, nothing: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield from (f"- {_line(sentence)}" for sentence in sentences or (nothing,))
    yield ""


def _steps(story: Story) -> Iterator[str]:
    yield "## Steps"
    yield ""
    for leg in story.legs:
        yield f"### {_leg_name(leg)}"
        yield ""
        lasted = "lasts" if leg.ended_s is None else duration(leg.ended_s - leg.began_s)
        yield f"From {_time(leg.began_s)}, {lasted}. Entered: {_line(leg.entered_because)}"
        if leg.left_because:
            yield ""
            yield f"Left: {_line(leg.left_because)}"
        yield ""
        if leg.notes:
            yield from (f"- {_line(note)}" for note in leg.notes)
            yield ""
        yield from _findings(leg)


def _leg_name(leg: Leg) -> str:
    where = f"Step {leg.step + 1}: {leg.state.lower()}" if leg.is_judged else leg.state.capitalize()
    return f"{where}, {share(leg.weight_ppm)}"


def _findings(leg: Leg) -> Iterator[str]:
    if not leg.findings:
        return
    yield "| rule | stands | samples | harm, e-value of limit | proof, e-value of limit | on harm |"
    yield "|---|---|---|---|---|---|"
    for finding in leg.findings:
        cells = (
            finding.name,
            finding.standing,
            samples(finding),
            evidence(finding.log_e_harm, finding.log_harm_limit),
            evidence(finding.log_e_proof, finding.log_proof_limit),
            effect_of(finding),
        )
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield ""


def _decisions(report: RolloutReport) -> Iterator[str]:
    yield "## Log"
    yield ""
    yield "| time | to | trigger | share | by | why |"
    yield "|---|---|---|---|---|---|"
    for event in report.events:
        cells = (
            time_text(event.at),
            event.to_state,
            event.trigger,
            share(event.weight_ppm),
            event.actor,
            event.reason,
        )
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield ""


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|") or "-"
