"""Every fault of the table is tested, or says why not: the count cannot rot.

``matrix.csv`` lists what can go wrong. ``tested``: at least one test carries ``@pytest.mark.fault("<id>")`` (search for
the id); ``ci``: a script of the continuous integration holds it, named in ``where``; ``later``: it belongs to work
that is not there yet; ``not applicable``: it cannot happen here. ``where`` holds the reason, or a note.
"""

from __future__ import annotations

import ast
import csv
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
STATUSES = ("tested", "ci", "later", "not applicable")
SIZES = {"A": 24, "B": 28, "C": 13, "D": 23, "E": 13, "F": 14, "G": 18, "H": 24, "I": 12, "J": 10}


def read_matrix() -> list[dict[str, str]]:
    with (TESTS / "faults" / "matrix.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


MATRIX = read_matrix()


def marks_in(source: str) -> list[str]:
    """The ids that marks in a piece of source name."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    marks = [call for call in calls if ast.unparse(call.func) == "pytest.mark.fault"]
    return [ast.literal_eval(argument) for mark in marks for argument in mark.args]


@pytest.fixture(scope="module")
def marked() -> dict[str, list[str]]:
    """Files of tests by the ids they are marked with."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for fault in marks_in(path.read_text(encoding="utf-8")):
            found.setdefault(fault, []).append(path.relative_to(TESTS).as_posix())
    return found


def test_the_table_is_whole():
    assert list(MATRIX[0]) == ["id", "section", "fault", "status", "where"]
    ids = [row["id"] for row in MATRIX]
    assert ids == sorted(set(ids))
    assert Counter(i[0] for i in ids) == SIZES
    assert {row["status"] for row in MATRIX} <= set(STATUSES)
    assert all(row["fault"] and row["section"] for row in MATRIX)


@pytest.mark.parametrize("row", [r for r in MATRIX if r["status"] == "tested"], ids=lambda r: r["id"])
def test_what_is_called_tested_has_a_test(row, marked):
    assert marked.get(row["id"]), f"no test is marked with fault {row['id']}: {row['fault']}"


@pytest.mark.parametrize("row", [r for r in MATRIX if r["status"] != "tested"], ids=lambda r: r["id"])
def test_what_is_not_tested_says_why_and_really_is_not(row, marked):
    assert row["where"]
    assert row["id"] not in marked, f"{row['id']} has a test now: call it tested"
    if row["status"] == "ci" and (TESTS.parent / ".ci").is_dir():
        assert (TESTS.parent / row["where"]).is_file()


def test_no_mark_names_a_fault_that_is_not_in_the_table(marked):
    assert set(marked) - {row["id"] for row in MATRIX} == set()


def test_the_scan_finds_marks_on_functions_classes_and_parameters():
    source = """
@pytest.mark.fault("A01")
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.fault("A02"))])
def test(x): ...

@pytest.mark.fault("A03")
class TestMany: ...

pytestmark = [pytest.mark.fault("A04")]
"""
    assert sorted(marks_in(source)) == ["A01", "A02", "A03", "A04"]
