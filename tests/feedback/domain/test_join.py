import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feedback.domain.join import Effect, Labelled, Row, State, Withdrawn, is_published, join

MATCHED = Row(state=State.MATCHED, label="1", source="till", revision=1)
RETRACTED = Row(state=State.RETRACTED, label="1", source="till", revision=2)
EXPIRED = Row(state=State.EXPIRED)


@pytest.mark.parametrize(
    ("row", "incoming", "state", "effect", "revision"),
    [
        (Row(), Labelled(label="1"), State.MATCHED, Effect.MATCHED, 1),
        (Row(), Withdrawn(), State.PENDING, Effect.NOTHING_TO_WITHDRAW, 0),
        (MATCHED, Labelled(label="0"), State.MATCHED, Effect.CORRECTED, 2),
        (MATCHED, Labelled(label="0", source="audit"), State.MATCHED, Effect.CORRECTED, 2),
        (MATCHED, Labelled(label="1", source="till"), State.MATCHED, Effect.CONFIRMED, 1),
        (MATCHED, Labelled(label="1", source="audit"), State.MATCHED, Effect.CONFIRMED, 1),
        (MATCHED, Withdrawn(source="till"), State.RETRACTED, Effect.WITHDRAWN, 2),
        (MATCHED, Withdrawn(), State.RETRACTED, Effect.WITHDRAWN, 2),
        (MATCHED, Withdrawn(source="audit"), State.MATCHED, Effect.NOTHING_TO_WITHDRAW, 1),
        (RETRACTED, Labelled(label="1", source="till"), State.MATCHED, Effect.MATCHED, 3),
        (RETRACTED, Labelled(label="0"), State.MATCHED, Effect.MATCHED, 3),
        (RETRACTED, Withdrawn(source="audit"), State.RETRACTED, Effect.NOTHING_TO_WITHDRAW, 2),
        (EXPIRED, Labelled(label="1"), State.MATCHED, Effect.MATCHED, 1),
        (EXPIRED, Withdrawn(), State.EXPIRED, Effect.NOTHING_TO_WITHDRAW, 0),
    ],
)
def test_the_table(
    row: Row, incoming: Labelled | Withdrawn, state: State, effect: Effect, revision: int
) -> None:
    after, happened = join(row, incoming)
    assert (after.state, happened, after.revision) == (state, effect, revision)


def test_a_correction_carries_the_new_label_and_its_source() -> None:
    after, _ = join(MATCHED, Labelled(label="0", source="audit"))
    assert (after.label, after.source) == ("0", "audit")


sources = st.sampled_from(["", "till", "audit"])
said = st.builds(Labelled, label=st.sampled_from("01"), source=sources) | st.builds(Withdrawn, source=sources)


@given(st.lists(said))
def test_each_event_has_the_next_revision_and_the_last_label_wins(
    messages: list[Labelled | Withdrawn],
) -> None:
    row, revisions = Row(), []
    for message in messages:
        row, effect = join(row, message)
        if is_published(effect):
            revisions.append(row.revision)
        if isinstance(message, Labelled):
            assert (row.state, row.label) == (State.MATCHED, message.label)
    assert revisions == list(range(1, len(revisions) + 1))
