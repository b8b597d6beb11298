"""The check of the requirements table must be able to fail."""

import pytest

from tools.check_requirements import Row, faults, main, rows, sections

TITLES = sections("# pinned\n2: The `open_channel` Message\n")
CODE = "`base/errors.py:DecodeError`"
TEST = "`test_tidy.py::test_functions_are_short`"


def row(**changes: str) -> Row:
    """A row without fault, then changed."""
    cells = {
        "id": "B2-OPEN-01",
        "section": "The `open_channel` Message",
        "requirement": "It holds.",
        "state": "done",
        "code": CODE,
        "test": TEST,
    }
    return Row(line=1, **(cells | changes))


def test_row_with_code_and_test_passes() -> None:
    """Otherwise the other cases would prove nothing."""
    assert not list(faults(row(), TITLES))
    assert not list(faults(row(code=f"{CODE}, `base/errors.py:DecodeError.__init__`"), TITLES))
    assert not list(faults(row(state="open", code="", test=""), TITLES))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "OPEN-1"},
        {"id": "B3-OPEN-01"},
        {"section": "The `open_chanel` Message"},
        {"requirement": "It holds"},
        {"state": "nearly"},
        {"code": ""},
        {"code": "`base/errors.py`"},
        {"code": "`base/errors.py:NoSuchError`"},
        {"code": "`base/no_such_file.py:DecodeError`"},
        {"test": ""},
        {"test": "`test_tidy.py::test_no_such_test`"},
        {"state": "open"},
        {"state": "later", "code": ""},
    ],
)
def test_each_fault_is_seen(changes: dict[str, str]) -> None:
    """A row that points at nothing would turn the table into a wish."""
    assert list(faults(row(**changes), TITLES))


def test_row_with_a_missing_cell_is_an_error() -> None:
    """A bar in a sentence shifts the cells behind it, and the check would read the wrong ones."""
    with pytest.raises(ValueError, match="6 cells"):
        list(rows("| B2-OPEN-01 | section | text | done | code |\n"))


def test_the_table_as_it_stands_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    """The table in the repository passes its own check, and an unknown flag is refused."""
    assert main([]) == 0
    assert "rows" in capsys.readouterr().out
    assert main(["--nonsense"]) == 2
