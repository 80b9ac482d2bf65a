"""Policy files: what may be in force, and where the problem stands in what may not."""

import pytest

from slipway.errors import InvalidInput
from slipway.policy.rules import builtin_text, read_rules, split

FILE = "policies/own.cedar"


def problem_of(text: str, file: str = FILE) -> str:
    with pytest.raises(InvalidInput) as refusal:
        read_rules({file: text.encode()})
    return str(refusal.value)


def test_every_built_in_policy_has_a_name_of_its_own() -> None:
    labels = [rule.label for rule in read_rules({}).by_id.values()]
    assert all(labels)
    assert len(set(labels)) == len(labels) == builtin_text().count("@id(")


def test_policies_keep_their_places_through_texts_and_comments() -> None:
    text = '// first; "\npermit (principal)\nwhen { "a;\\"" == "//" };\n\n // x\nforbid (p);\n// end'
    assert [(line, chunk.split()[0]) for line, chunk in split(text)] == [(2, "permit"), (6, "forbid")]


def test_a_rule_is_named_by_its_place_and_its_id() -> None:
    text = b'\n@id("mine")\npermit (principal, action, resource);\nforbid (principal, action, resource);'
    *_, first, second = read_rules({FILE: text}).by_id.values()
    assert (str(first), str(second)) == (f"mine ({FILE} line 2)", f"{FILE} line 4")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n\npermit (principal, action, resource", "line 3: unexpected end of input"),
        ("permit (principal, action, resource)", "line 1: "),  # no semicolon
        (
            'permit (principal, action == Action::"fly", resource);',
            'line 1: unrecognized action `Action::"fly"`',
        ),
        ("permit (principal, action, resource) when { resource.color };", "attribute `color` on entity type"),
        ('permit (principal == User::"anna", action, resource);', "unrecognized entity type `User`"),
        ("permit (principal == ?principal, action, resource);", "a template"),
        ("permit (principal, action, resource) when { 1 == principal.name };", "line 1: "),
        ("permit (principal, action, resource);\nhello", "line 2: "),
        ('permit (principal, action, resource) when { "open };', "line 1: "),
    ],
)
def test_what_may_not_be_in_force_is_refused_with_its_line(text: str, problem: str) -> None:
    assert problem_of(text).startswith(f"policies: {FILE} line ")
    assert problem in problem_of(text)


def test_all_problems_are_told_at_once() -> None:
    told = problem_of('permit (principal, action == Action::"a", resource);\npermit (x);')
    assert f"{FILE} line 1" in told
    assert f"{FILE} line 2" in told


@pytest.mark.parametrize("name", ["policies/own.ceder", "policies/own", "policies/own.yaml"])
def test_a_file_that_would_be_without_effect_is_refused(name: str) -> None:
    assert "without effect" in problem_of("", name)


def test_tests_and_what_editors_leave_are_passed_over() -> None:
    names = ("policies/own.cases.yaml", "policies/.own.cedar.swp", "policies/own.cedar~")
    assert read_rules(dict.fromkeys(names, b"\xff")).policy_hash == read_rules({}).policy_hash


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidInput, match="not UTF-8"):
        read_rules({FILE: b"\xff"})


def test_the_hash_tells_any_change_and_nothing_else() -> None:
    own = {FILE: b"permit (principal, action, resource);"}
    hashes = [read_rules(files).policy_hash for files in ({}, own, dict(own), {FILE: own[FILE] + b"// x"})]
    assert hashes[1] == hashes[2]
    assert len(set(hashes)) == 3
