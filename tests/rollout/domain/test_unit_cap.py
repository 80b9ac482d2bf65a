from itertools import product
from math import exp

import pytest

from services.rollout.domain.evidence import NO_EVIDENCE, add_bad_event, e_value
from services.rollout.domain.unit_cap import NO_UNITS, UnitCap, admit, new_blocks, restored


def test_a_unit_counts_once() -> None:
    cap, first = admit(NO_UNITS, "ann")
    cap, second = admit(cap, "ann")
    assert (first, second, cap.units, cap.dropped) == (True, False, 1, 1)


def test_a_request_without_a_unit_always_counts_and_is_not_remembered() -> None:
    assert admit(NO_UNITS, "") == (NO_UNITS, True)


def test_no_unit_of_many_is_forgotten_and_few_new_ones_are_lost() -> None:
    cap, lost = NO_UNITS, 0
    for i in range(3000):
        cap, is_first = admit(cap, f"unit-{i}")
        lost += not is_first
    assert lost < 10
    assert not any(admit(cap, f"unit-{i}")[1] for i in range(0, 3000, 7))
    assert sum(map(len, cap.blocks)) == 1 << 14


def test_a_new_unit_changes_one_block_and_nothing_is_lost_when_only_changes_are_saved() -> None:
    saved: dict[int, bytes] = {}
    cap = NO_UNITS
    for i in range(200):
        before = cap
        cap, is_first = admit(cap, f"unit-{i}")
        changed = new_blocks(before, cap)
        assert len(changed) == is_first
        saved.update(changed)
    counts = UnitCap(units=cap.units, dropped=cap.dropped)
    assert restored(counts, saved) == cap
    assert restored(NO_UNITS, {}) is NO_UNITS


def _expected_e_value(*, events_per_unit: int, counted_per_unit: int) -> float:
    """Over all assignments of three units whose arm stays, the stop chosen to exploit what is known."""
    share = 0.2
    total = 0.0
    for arms in product((True, False), repeat=3):
        chance, ratios = 1.0, NO_EVIDENCE
        for is_canary in arms:
            chance *= share if is_canary else 1 - share
        for is_canary in arms:
            ratios = add_bad_event(ratios, is_canary=is_canary, share=share)
            if is_canary:  # the unit will fail again, on the same arm for certain: wait for it, then stop
                for _ in range(min(events_per_unit, counted_per_unit) - 1):
                    ratios = add_bad_event(ratios, is_canary=True, share=share)
                break
        total += chance * e_value(ratios)
    return total


def test_a_unit_that_fails_again_and_again_voids_the_guarantee_unless_it_is_capped() -> None:
    assert _expected_e_value(events_per_unit=10, counted_per_unit=10) > 2
    assert _expected_e_value(events_per_unit=10, counted_per_unit=1) == pytest.approx(exp(0))


SHARES = (0.05, 0.1, 0.25, 0.5)


def _events(
    champion: tuple[bool, ...], canary: tuple[bool, ...], *, until: int
) -> list[tuple[float, bool | None, float]]:
    """Per part of the hash space: its size, the arm of the unit's first bad event, and the share then."""
    found: list[tuple[float, bool | None, float]] = []
    for low, high in zip((0.0, *SHARES), (*SHARES, 1.0), strict=True):
        first: tuple[bool | None, float] = (None, 0.0)
        for at in range(until):
            is_canary = low < SHARES[at]
            if (canary if is_canary else champion)[at]:
                first = (is_canary, SHARES[at])
                break
        found.append((high - low, *first))
    return found


@pytest.mark.parametrize("champion", list(product((True, False), repeat=4)))
def test_a_unit_that_never_fails_sooner_on_the_canary_gives_no_evidence_while_its_share_grows(
    champion: tuple[bool, ...],
) -> None:
    for kept in product((True, False), repeat=4):
        canary = tuple(bad and keep for bad, keep in zip(champion, kept, strict=True))
        for until in range(1, 5):
            expected = 0.0
            for size, is_canary, share in _events(champion, canary, until=until):
                ratios = NO_EVIDENCE
                if is_canary is not None:
                    ratios = add_bad_event(ratios, is_canary=is_canary, share=share)
                expected += size * e_value(ratios)
            assert expected <= 1 + 1e-9
