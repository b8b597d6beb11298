"""The check of the hazards page must be able to fail."""

from importlib import import_module
from pathlib import Path

import pytest

from tools import check_hazards
from tools.check_hazards import Row, faults, main, rows

TEST = "tests/tools/test_check_hazards.py::test_row_with_living_tests_passes"
STORE = "tests/drivers/storage/test_sqlite.py::TestSqliteStoreContract"
EVERY_FORM = "tests/hazards/test_claims.py::test_payment_is_claimed_once"


def row(**changes: object) -> Row:
    """A row without fault, then changed."""
    cells: dict[str, object] = {
        "id": "H01",
        "kind": "FL/ST",
        "outcome": "Nothing is lost.",
        "built": "It waits (P1).",
        "tests": (TEST,),
        "waits_for": "",
        "forms": "NR <",
    }
    return Row(line=1, **(cells | changes))  # type: ignore[arg-type]


def test_row_with_living_tests_passes() -> None:
    """Otherwise the other cases would prove nothing."""
    assert not list(faults(row()))
    assert not list(faults(row(forms=".")))
    assert not list(faults(row(tests=(TEST, EVERY_FORM), forms="NLR =<>")))
    assert not list(faults(row(id="H131", tests=(), waits_for="splicing", forms="")))
    assert not list(faults(row(id="H131", waits_for="splicing")))
    assert not list(faults(row(tests=(f"{STORE}::test_store_keeps[gap_is_refused]",))))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "H165"},
        {"kind": "FL, ST"},
        {"kind": "XX"},
        {"outcome": "nothing is lost"},
        {"built": ""},
        {"tests": ()},
        {"tests": (f"{TEST}_not",)},
        {"tests": (TEST.removeprefix("tests/"),)},
        {"tests": ("tests/tools/test_no_such_file.py::test_it",)},
        {"tests": ("tests/hazards/forms.py::run_in",)},
        {"tests": ("tests/tools/test_check_hazards.py::row",)},
        {"tests": (f"{STORE}::test_store_breaks",)},
        {"tests": (f"{STORE}::test_store_keeps[no_such_rule]",)},
        {"waits_for": "splicing"},
        {"id": "H131", "tests": (), "waits_for": "better times"},
        {"id": "H131", "tests": (), "waits_for": "splicing", "forms": "N"},
        {"forms": ""},
        {"forms": "RN"},
        {"forms": "=<"},
        {"forms": "NLR =<>"},
        {"tests": (EVERY_FORM,), "forms": "N"},
    ],
)
def test_each_fault_is_seen(changes: dict[str, object]) -> None:
    """A row that points at nothing would turn the page into a wish."""
    assert list(faults(row(**changes)))


def test_skipped_test_is_not_a_living_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would never fail again."""
    (tmp_path / "tests").mkdir()
    text = '@pytest.mark.{0}("later")\ndef test_{0}() -> None:\n    """It."""\n'
    (tmp_path / "tests" / "test_it.py").write_text("".join([text.format(mark) for mark in ("skip", "xfail")]))
    monkeypatch.setattr(check_hazards, "ROOT", tmp_path)
    for mark in ("skip", "xfail"):
        assert list(faults(row(tests=(f"tests/test_it.py::test_{mark}",))))


def test_cells_are_read() -> None:
    """Tests are joined by a comma, what a row waits for comes last."""
    text = (
        "| H131 | FL | It holds. | By records. | `tests/a.py::test_b`, `tests/c.py::test_d`, waits for splicing | N |"
    )
    [read] = rows(text)
    assert read.tests == ("tests/a.py::test_b", "tests/c.py::test_d")
    assert read.waits_for == "splicing"
    with pytest.raises(ValueError, match="6 cells"):
        list(rows("| H01 | FL | outcome | by | test |\n"))


def test_rules_of_stores_that_rows_rest_on_are_tried() -> None:
    """A store that cannot do what a rule needs skips it: no hazard may rest on that."""
    named = [test for row in rows(check_hazards.TABLE.read_text()) for test in row.tests if "[" in test]
    assert named
    for reference in named:
        file, class_name, case = reference.removesuffix("]").replace("::test_store_keeps[", "::").split("::")
        module = import_module(file.removesuffix(".py").replace("/", "."))
        contract = getattr(module, class_name)
        assert case not in contract.not_tried, reference
        assert case not in contract.left_out, reference


@pytest.mark.parametrize("twice", [False, True])
def test_missing_and_repeated_rows_are_seen(
    twice: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every hazard has exactly one row."""
    page = tmp_path / "hazards.md"
    page.write_text(f"| H01 | FL | It holds. | By records. | `{TEST}` | . |\n" * (1 + twice))
    monkeypatch.setattr(check_hazards, "TABLE", page)
    assert main([]) == int(twice)
    assert main(["--no-missing"]) == 1
    assert "H02 has no row" in capsys.readouterr().out


def test_the_page_as_it_stands_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    """The page in the repository passes its own check, and an unknown flag is refused."""
    assert main(["--no-missing"]) == 0
    assert "hazards: 164" in capsys.readouterr().out
    assert main(["--nonsense"]) == 2
