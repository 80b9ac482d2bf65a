from services.rollout.domain.seen_ids import CHUNK_IDS, CHUNKS, Chunk, SeenIds


def test_an_id_is_new_once() -> None:
    seen = SeenIds()
    assert [seen.add(each) for each in ("a", "b", "a", "b", "c")] == [True, True, False, False, True]


def test_only_what_changed_has_to_be_saved_and_it_is_enough() -> None:
    seen, saved = SeenIds(), dict[int, Chunk]()
    for at in range(3 * CHUNK_IDS):
        seen.add(f"id-{at}")
        if at % 100 == 0:
            assert len(seen.changed()) <= 2
            saved.update({chunk.slot: chunk for chunk in seen.changed()})
            seen.saved()
            assert seen.changed() == []
    saved.update({chunk.slot: chunk for chunk in seen.changed()})
    restored = SeenIds(reversed(saved.values()))
    assert not any(restored.add(f"id-{at}") for at in range(3 * CHUNK_IDS))
    assert restored.add("another")
    assert [chunk.number for chunk in restored.changed()] == [3]


def test_the_oldest_are_forgotten() -> None:
    seen, saved = SeenIds(), dict[int, Chunk]()
    count = CHUNKS * CHUNK_IDS
    for at in range(count + 1):
        seen.add(f"id-{at}")
    saved.update({chunk.slot: chunk for chunk in seen.changed()})
    assert len(saved) == CHUNKS
    for known in (seen, SeenIds(saved.values())):
        assert not known.add(f"id-{CHUNK_IDS}")
        assert known.add("id-0")
