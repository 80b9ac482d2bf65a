"""The sections of a model spec: each key, its type, its bounds and its default."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Rows = Annotated[int, Field(ge=0)]
Column = Annotated[str, Field(min_length=1, max_length=200)]
Window = Annotated[str, Field(pattern=r"^(all|since_drift|sliding(:[1-9][0-9]{0,8})?)$")]
Fallback = Literal["previous_version", "cached_answer", "default"]
Recording = Literal["standard", "fsync", "broker"]
Metric = Literal[
    "error_rate",
    "latency_p50",
    "latency_p90",
    "latency_p99",
    "abstention",
    "input_score",
    "accuracy",
    "brier",
    "log_loss",
    "acceptance",
    "value",
    "cost",
]
Notice = Literal["start", "step", "gate", "promoted", "taken_back"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class Section(BaseModel):
    """A mapping in the YAML: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Feature(Section):
    """One input column."""

    name: Column
    type: Literal["numeric", "categorical"] = "numeric"
    range: tuple[float, float] | None = Field(default=None, strict=False)
    categories: tuple[str, ...] | None = Field(default=None, strict=False)
    nullable: bool = False
    data_class: Literal["public", "internal", "personal", "sensitive"] = "internal"


class Label(Section):
    """What is predicted, and how late the truth arrives."""

    name: Column
    classes: tuple[str, ...] = Field(default=(), strict=False)
    horizon_rows: Rows = 0
    expire_after_s: Annotated[float, Field(gt=0)] = 30 * 24 * 3600.0
    accept_is_label: bool = False


class Serving(Section):
    """How a version is run."""

    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    cpus_per_replica: Annotated[float, Field(gt=0, strict=False)] = 0.1
    timeout_ms: Annotated[int, Field(ge=1)] = 2000
    max_batch_rows: Annotated[int, Field(ge=1)] = 256
    max_queued_rows: Annotated[int, Field(ge=1)] = 4096
    refuse_out_of_range: bool = False
    cache_ttl_s: Annotated[float, Field(ge=0, strict=False)] = (
        0.0  # 0 is no cache; only for what always answers alike
    )
    hedge_share: Share = 0.0  # of the calls, sent to a second replica too when the first is slow
    fallback: tuple[Fallback, ...] = Field(
        default=(), strict=False
    )  # tried in order when the version cannot answer
    default_answer: str | float | None = None  # what the fallback `default` says: a class or a number
    recording: Recording = "standard"  # what an answer waits for once its record is in a file
    when_records_full: Literal["refuse", "count"] = "refuse"  # count: answer without a record, and count it


class Slice(Section):
    """The requests that a rule looks at: those whose feature has one value, or lies in a range."""

    feature: Column
    equals: str | float | None = None
    range: tuple[float, float] | None = Field(default=None, strict=False)  # both ends belong to it


class Rule(Section):
    """What is compared between a new version and the champion, and what follows from harm."""

    name: Name
    metric: Metric
    slice: Slice | None = None
    on_harm: Literal["roll_back", "hold", "report"] = "roll_back"  # guardrail, signal, dry run
    paired: bool = False  # on shadow pairs, not on two arms with requests of their own
    margin: Annotated[float, Field(ge=0, strict=False)] | None = None  # tolerated; None: no proof is asked
    min_samples: Annotated[int, Field(ge=1)] = 100
    alpha_weight: Annotated[float, Field(gt=0, strict=False)] = 1.0


class Step(Section):
    """One step of a version's way: it lasts until its rows were served and its rules passed."""

    kind: Literal["canary", "shadow", "blue_green", "ab"] = "canary"
    weight_percent: Annotated[float, Field(gt=0, le=100, strict=False)] = (
        0.0  # canary; ab: all new ones together
    )
    mirror_percent: Annotated[float, Field(gt=0, le=100, strict=False)] = 100.0  # shadow
    max_mirrored_per_s: Annotated[float, Field(gt=0, strict=False)] = 50.0  # shadow, for each gateway
    min_rows: Rows = 60
    dwell_s: Annotated[float, Field(ge=0, strict=False)] = 0.0
    deadline_s: Annotated[float, Field(gt=0, strict=False)] | None = None  # None: the rollout's
    approval: str = Field(default="", max_length=63)  # role whose signature the next step needs
    rules: tuple[Name, ...] | None = Field(default=None, strict=False)  # None: all that fit the step
    metric: Metric | None = None  # ab: what decides
    better: Literal["higher", "lower"] | None = None  # ab: where a better version lies
    analysis: Literal["at_end", "sequential"] = "at_end"  # ab
    min_samples: Annotated[int, Field(ge=2)] = 1000  # ab: of each arm; at_end reads then, and once


class Freeze(Section):
    """A time of the week, in UTC, in which no version goes on."""

    name: Name
    days: tuple[Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], ...] = Field(
        default=(), strict=False
    )
    start: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "00:00"
    minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 24 * 60


class Notification(Section):
    """Who is told of a rollout."""

    url: str = Field(min_length=1, max_length=2000)
    form: Literal["json", "chat"] = "json"
    on: tuple[Notice, ...] = Field(default=("start", "step", "gate", "promoted", "taken_back"), strict=False)


class Rollout(Section):
    """A version's way to users."""

    steps: tuple[Step, ...] = Field(
        default=(Step(weight_percent=5, min_rows=60), Step(weight_percent=25, min_rows=60)),
        strict=False,
        max_length=32,
    )
    bake_rows: Rows = 80
    deadline_s: Annotated[float, Field(gt=0, strict=False)] = 3600.0
    warm_deadline_s: Annotated[float, Field(gt=0, strict=False)] = 120.0
    max_latency_ms: Annotated[float, Field(gt=0, strict=False)] = 1000.0
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    rules: tuple[Rule, ...] = Field(default=(), strict=False, max_length=32)
    label_horizon_s: Annotated[float, Field(gt=0, strict=False)] | None = None  # by then a label is due
    label_gap: Share = 0.05  # largest accepted difference between the labelled shares of both arms
    freeze: tuple[Freeze, ...] = Field(default=(), strict=False, max_length=32)
    rollback_window: Annotated[int, Field(ge=0, le=10)] = 0  # former champions that come back without steps
    notify: tuple[Notification, ...] = Field(default=(), strict=False, max_length=8)


class Drift(Section):
    """What drift_detection watches, in rows."""

    block_rows: Annotated[int, Field(ge=1)] = 48
    window_rows: Annotated[int, Field(ge=10)] = 1344
    data_threshold: Share = 0.1
    prediction_threshold: Share = 0.1
    adwin_delta: Share = 0.002
    page_hinkley_delta: Share = 0.01  # error share a block may exceed the mean without being counted
    page_hinkley_threshold: Annotated[float, Field(gt=0, strict=False)] = 0.4
    page_hinkley_min_blocks: Annotated[int, Field(ge=2)] = 7
    performance_window_rows: Annotated[int, Field(ge=10)] = 336
    performance_drop: Share = 0.05
    quality_threshold: Share = 0.05  # missing or outside values beyond what the training data had


class Retraining(Section):
    """When and on what a new version is trained."""

    windows: tuple[Window, ...] = Field(default=("all", "since_drift", "sliding"), min_length=1, strict=False)
    sliding_rows: Annotated[int, Field(ge=10)] = 4032
    holdout_rows: Annotated[int, Field(ge=10)] = 336
    min_rows: Annotated[int, Field(ge=10)] = 672
    min_rows_per_class: Rows = 30
    margin: Annotated[float, Field(ge=-1, le=1)] = 0.0
    cool_down_rows: Rows = 336
    max_cool_down_rows: Rows = 2688
    max_staleness_rows: Rows = 1344
    secondary_rows: Rows = 336  # so long must two weaker signals last together
    drifted_features_share: Share = 0.5  # so many features must drift for data drift to count
    open_request_timeout_s: Annotated[float, Field(gt=0, strict=False)] = 3600.0
    keep_rows: Annotated[int, Field(ge=10)] = 200_000
    automatic: bool = True


class Slo(Section):
    """Service level objectives."""

    availability: Share = 0.999
    latency_p99_ms: Annotated[float, Field(gt=0, strict=False)] = 250.0


class Extraction(Section):
    """Callers whose questions look like an attempt to copy the model; query_watch suspects them."""

    action: Literal["none", "flag", "review", "refuse"] = "flag"


class Defence(Section):
    """What is done about questions that cannot be relied on."""

    extraction: Extraction = Extraction()
