"""Which lines of LND's log the chain service answers for."""

import pytest

from interop.lnd_complaints import complaints, denied_txids

TXID = "ab" * 32


def line(level: str, text: str) -> str:
    """A line as LND writes it."""
    subsystem, _, rest = text.partition(": ")
    return f"2026-11-28 06:56:30.905 [{level}] {subsystem} some_file.go:390: {rest}\n"


def test_unknown_complaint_counts_without_its_numbers() -> None:
    """The same complaint about other transactions is the same; what is not a complaint is none."""
    log = (
        line("ERR", f"BTWL: Unable to rescan {TXID}: height 7")
        + line("ERR", f"BTWL: Unable to rescan {'cd' * 32}: height 19")
        + line("INF", "BTWL: Unable to rescan at ease")
        + "panic: something else\n"
    )
    assert complaints(log) == {"[ERR] BTWL: Unable to rescan #: height 9": 2}


@pytest.mark.parametrize("level", ["WRN", "ERR", "CRT"])
def test_every_level_from_a_warning_up_counts(level: str) -> None:
    """LND logs some failures of its back end as warnings only."""
    assert complaints(line(level, "LNWL: bitcoind says no")) == {f"[{level}] LNWL: bitcoind says no": 1}


def test_other_subsystem_with_the_same_words_is_not_excused() -> None:
    """What is known of the sweeper says nothing of the wallet."""
    assert not complaints(line("ERR", "SWPR: Failed to handle bump event: tx not found"))
    assert complaints(line("ERR", "BTWL: Failed to handle bump event: tx not found"))


def test_other_words_of_the_same_subsystem_are_not_excused() -> None:
    """The sweeper speaks with the chain service too."""
    assert complaints(line("ERR", f"SWPR: Failed to publish tx {TXID}: non-final"))


def test_subsystems_that_never_see_the_chain_are_their_own_affair() -> None:
    """They talk to peers and callers."""
    assert not complaints(line("ERR", "PEER: Peer(02ab): anything at all"))


def test_denied_transactions_are_asked_for_afterwards() -> None:
    """They are no complaint by themselves: something may have replaced them."""
    log = (
        line("ERR", f"BTWL: Unable to get raw transaction for {TXID}, err: -5: No such mempool transaction")
        + line("ERR", f"SWPR: Failed to publish tx {'cd' * 32}: insufficient fee")
        + line("ERR", f"BTWL: Unable to get raw transaction for {'ef' * 32}, err: -8: bad")
    )
    assert denied_txids(log) == {TXID, "cd" * 32}
    assert list(complaints(log)) == ["[ERR] BTWL: Unable to get raw transaction for #, err: -9: bad"]
