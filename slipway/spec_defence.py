"""The section `defence` of a model spec: what is done about inputs and answers that cannot be relied on."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from slipway.spec_sections import Section, Share

InputAction = Literal["none", "flag", "review", "abstain", "refuse"]
AnswerAction = Literal["none", "flag", "review", "abstain"]

# Those of slipway.stats.density, without numpy: whoever reads a spec need not load it.
MAX_FEATURES: Final = 1024
LEAST_RATE: Final = 1 / 4096


class Density(Section):
    """Inputs unlike the training data of the version that is asked."""

    false_positive_rate: Annotated[float, Field(ge=LEAST_RATE, le=0.5)] = 0.01
    action: InputAction = "flag"


class Agreement(Section):
    """Answers at odds with those to the training rows around the input; the rate is that of the density."""

    action: AnswerAction = "flag"


class Confidence(Section):
    """Answers that the version is not sure of."""

    coverage: Annotated[float, Field(ge=0.5, le=0.999)] = 0.9  # of the prediction sets
    method: Literal["lac", "aps"] = "lac"  # smallest sets, or sets that adapt to how hard a row is
    abstain_below: Share | None = None  # calibrated probability of the answer
    when_set_larger_than: Annotated[int, Field(ge=1)] | None = None  # classes; an empty set counts as larger
    action: AnswerAction = "abstain"


class Extraction(Section):
    """Callers whose questions look like an attempt to copy the model; query_watch suspects them."""

    action: Literal["none", "flag", "review", "refuse"] = "flag"


class Defence(Section):
    """What is watched, what follows, and what follows where watching fails."""

    density: Density = Density()
    agreement: Agreement = Agreement()
    confidence: Confidence = Confidence()
    extraction: Extraction = Extraction()
    on_error: Literal["open", "closed"] = "open"  # answer and say so, or refuse

    @property
    def demands_density(self) -> bool:
        """Whether a version must bring an input profile: the spec says so in its own words."""
        says_so = "density" in self.model_fields_set and self.density.action != "none"
        return says_so or self.demands_agreement

    @property
    def demands_agreement(self) -> bool:
        """Whether a version must bring its answers to training rows."""
        return "agreement" in self.model_fields_set and self.agreement.action != "none"

    @property
    def demands_calibration(self) -> bool:
        """Whether a version must bring a calibration."""
        return "confidence" in self.model_fields_set


def defence_inconsistencies(
    defence: Defence, *, features: int, classes: int
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What each key allows by itself, but not for this model; `classes` is 0 for a regressor."""
    confidence = defence.confidence
    if defence.demands_density and features > MAX_FEATURES:
        what = f"{features} features cannot be compared with training rows; at most {MAX_FEATURES}"
        yield ("defence", "density"), what
    if not classes and "agreement" in defence.model_fields_set:
        yield ("defence", "agreement"), "a regressor's answers are no classes that could be compared"
    for key in ("abstain_below", "when_set_larger_than", "method"):
        if not classes and key in confidence.model_fields_set:
            yield ("defence", "confidence", key), "a regressor answers with an interval, not with classes"
    most = confidence.when_set_larger_than
    if classes and most is not None and most >= classes:
        what = f"no set has more than all {classes} classes"
        yield ("defence", "confidence", "when_set_larger_than"), what
    is_wanted = "action" in confidence.model_fields_set and confidence.action != "none"
    if is_wanted and confidence.abstain_below is None and most is None:
        what = "nothing leads to it; add `abstain_below` or `when_set_larger_than`"
        yield ("defence", "confidence", "action"), what
