"""Parameters: by position or name, with bitcoind's complaints."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.regtest.rpc_errors import RpcError
from leyden.regtest.rpc_params import Params, bind, parse_amount, parse_hash

NAMES = ("first", "second", "third")


def values(params: object, required: int = 0) -> list[object]:
    """Bind and return the three values."""
    bound = bind("method", NAMES, required, params)
    return [bound.value(index) for index in range(3)]


def test_positions_and_names() -> None:
    """Rust and Go clients send arrays, scripts often objects; null means not given."""
    assert values(None) == [None, None, None]
    assert values([1, 2]) == [1, 2, None]
    assert values({"third": 3, "first": 1}) == [1, None, 3]
    assert values({"args": [1], "third": 3}) == [1, None, 3]


@pytest.mark.parametrize(
    ("params", "required", "code"),
    [
        ([1, 2, 3, 4], 0, -1),
        ([], 1, -1),
        ([None], 1, -1),
        ({"other": 1}, 0, -8),
        ({"args": [1], "first": 1}, 0, -8),
        ("text", 0, -32600),
    ],
)
def test_lists_that_do_not_fit(params: object, required: int, code: int) -> None:
    """Usage, unknown names, twice the same, no list at all."""
    with pytest.raises(RpcError) as caught:
        bind("method", NAMES, required, params)
    assert caught.value.code == code


@pytest.mark.parametrize("value", [None, True, 1, Decimal("1.5"), "text", [], {}])
@pytest.mark.parametrize("reader", ["text", "integer", "boolean", "array", "hash", "texts"])
def test_wrong_types_never_crash(reader: str, value: object) -> None:
    """Any value for any parameter: a result or an error of the protocol."""
    params = Params(NAMES, [value])
    code = 0
    try:
        getattr(params, reader)(*((0, False) if reader == "boolean" else (0,)))
    except RpcError as error:
        code = error.code
    assert code in {0, -1, -3, -8}


def test_sentence_for_a_wrong_type() -> None:
    """Word for word bitcoind's."""
    with pytest.raises(RpcError) as caught:
        Params(("height",), ["x"]).integer(0)
    what = "JSON value of type string is not of expected type number"
    assert caught.value.message == 'Wrong type passed:\n{\n    "Position 1 (height)": "' + what + '"\n}'


def test_numbers() -> None:
    """Whole numbers only, within 64 bits."""
    assert Params(NAMES, [Decimal("2.0")]).integer(0) == 2
    assert Params(NAMES, [True]).verbosity(0, 0) == 1
    assert Params(NAMES, []).verbosity(0, 7) == 7
    for bad in (1 << 63, Decimal("0.5")):
        with pytest.raises(RpcError, match="out of range"):
            Params(NAMES, [bad]).integer(0)


@pytest.mark.parametrize(
    ("value", "sat"),
    [(1, 100_000_000), (Decimal("0.00000001"), 1), ("0.1", 10_000_000), (0, 0), (21_000_000, 21_000_000 * 10**8)],
)
def test_amounts(value: object, sat: int) -> None:
    """Exact to the satoshi."""
    assert parse_amount(value) == sat


@pytest.mark.parametrize("value", [-1, "x", Decimal("0.000000001"), 21_000_001, True, None, "NaN", "Infinity", []])
def test_amounts_that_are_none(value: object) -> None:
    """Every one of them is refused with a type error."""
    with pytest.raises(RpcError) as caught:
        parse_amount(value)
    assert caught.value.code == -3


def test_feerate_above_one_bitcoin_is_a_mistake() -> None:
    """Somebody passed satoshis per vbyte."""
    with pytest.raises(RpcError, match="1BTC/kvB"):
        Params(NAMES, [5]).feerate(0, 0)


@given(st.text(max_size=80))
def test_any_text_for_a_hash(text: str) -> None:
    """A hash or an error of the protocol."""
    found = b""
    try:
        found = parse_hash(text, "txid")
    except RpcError as error:
        found = bytes(32) if error.code == -8 else b""
    assert len(found) == 32


def test_hash_errors_say_what_they_got() -> None:
    """Word for word bitcoind's."""
    with pytest.raises(RpcError, match=r"^txid must be of length 64 \(not 3, for 'abc'\)$"):
        parse_hash("abc", "txid")
    with pytest.raises(RpcError, match="must be hexadecimal string"):
        parse_hash("z" * 64, "txid")
