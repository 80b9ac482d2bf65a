"""Every test that the threat model names exists, and every row is answered, shown or honestly planned."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text()
ROW = re.compile(r"^\| ((?:API|ML|LLM)\d+) .*? \| (.+) \| (.+) \|$", re.MULTILINE)
LISTS = {"API": 10, "ML": 10, "LLM": 10}


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(tests/[^`]+)`", TEXT))
    assert len(named) > 20
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_risk_of_each_list_has_a_row_that_names_a_test_or_says_planned() -> None:
    rows = {name: shown for name, _, shown in ROW.findall(TEXT)}
    wanted = {
        f"{prefix}{n:0{1 if prefix == 'API' else 2}d}"
        for prefix, count in LISTS.items()
        for n in range(1, count + 1)
    }
    assert set(rows) == wanted
    assert [n for n, shown in rows.items() if not re.search(r"`tests/|planned|by construction", shown)] == []
