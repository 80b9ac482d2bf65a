"""The page that a person reads about a version."""

from collections.abc import Mapping
from typing import Any

from services.retraining.domain.calibration import Calibration


def model_card(description: str, manifest: Mapping[str, Any], *, calibration: Calibration) -> str:
    """Markdown from the manifest: what, data, scores, window, calibration, limits."""
    gate, data, window = manifest["gate"], manifest["data"], manifest["window"]
    return "\n".join(
        (
            f"# {manifest['model']}",
            "",
            description or "No description in the spec.",
            "",
            f"Trained because: {manifest['request']['cause']}. {manifest['request']['evidence']}".rstrip(),
            "",
            "## Data",
            "",
            _data(data["training"]),
            f"Window `{window['name']}`, rows {window['refit_start']} to {window['refit_end'] - 1} "
            f"of {window['matured_rows']} matured ones.",
            "",
            "## Scores",
            "",
            f"On the newest {data['holdout']['rows']} matured rows, none of which the judged candidates had "
            "learned from; the served version was then refitted on all rows of its window.",
            "",
            *_scores(gate["scores"]),
            "",
            f"{gate['outcome']}: {gate['reason']}.",
            "",
            "## Calibration",
            "",
            *_calibration(calibration),
            "",
            "## Limits",
            "",
            "- Judged on one stretch of time; the past is no promise. Drift detection watches what follows.",
            "- The best of several windows was chosen on the rows that judged it, which favours it slightly.",
            "- Inputs are float32; values outside the training data are flagged in the record, not refused.",
            "",
        )
    )


def _data(training: Mapping[str, Any]) -> str:
    datasets = "".join(f", {rows} of them from `{name}`" for name, rows in training["datasets"].items())
    return (
        f"{training['rows']} labelled rows{datasets}, {training['live_rows']} served ones, "
        f"from `{training['first']}` to `{training['last']}`, SHA-256 `{training['sha256']}`."
    )


def _scores(scores: list[dict[str, Any]]) -> list[str]:
    lines = ["| contestant | accuracy | log loss |", "|---|---|---|"]
    for it in scores:
        loss = "" if it["log_loss"] is None else f"{it['log_loss']:.4f}"
        lines.append(f"| {it['contestant']} | {it['accuracy']:.4f} | {loss} |")
    return lines


def _calibration(it: Calibration) -> list[str]:
    lines = [
        f"Expected calibration error {it.ece_before:.4f}; with temperature {it.temperature:.3f} it would be "
        f"{it.ece_after:.4f}, both measured on the hold-out. The served probabilities are not scaled.",
        "",
        "| confidence | rows | mean confidence | accuracy |",
        "|---|---|---|---|",
    ]
    for b in it.reliability:
        lines.append(f"| {b.low:.1f} to {b.high:.1f} | {b.rows} | {b.confidence:.3f} | {b.accuracy:.3f} |")
    return lines
