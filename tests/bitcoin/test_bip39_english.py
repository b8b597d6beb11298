"""The word list as data."""

from leyden.bitcoin.bip39 import english_words


def test_words_are_sorted_and_known_by_their_first_four_letters() -> None:
    """Other wallets let people type four letters, and search the list by halving: BIP 39 promises both."""
    words = english_words()
    assert len(words) == 2048
    assert list(words) == sorted(words)
    assert len({word[:4] for word in words}) == 2048
    assert all(word.isascii() and word.islower() and 3 <= len(word) <= 8 for word in words)
