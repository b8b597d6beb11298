"""Seed words: the only backup most people have."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin.bip32 import ExtendedPrivateKey
from leyden.bitcoin.bip39 import english_words, entropy_from_mnemonic, mnemonic_from_entropy, seed_from_mnemonic
from leyden.bitcoin.networks import MAINNET

VECTORS = Path(__file__).parent.parent / "vectors" / "bips" / "bip-0039"
BY_LANGUAGE = json.loads((VECTORS / "vectors.json").read_text())
PASSPHRASE = "TREZOR"


def test_word_list_is_the_published_one() -> None:
    """One word in the wrong place makes backups that no other wallet can read."""
    assert list(english_words()) == (VECTORS / "english.txt").read_text().split()


def test_every_language_has_its_24_cases() -> None:
    """Guards against a vector file that shrank."""
    assert {language: len(cases) for language, cases in BY_LANGUAGE.items()} == dict.fromkeys(BY_LANGUAGE, 24)
    assert len(BY_LANGUAGE) == 12


@pytest.mark.parametrize("language", BY_LANGUAGE)
def test_seed_and_master_key_of_every_language(language: str) -> None:
    """Seeds need no word list, only NFKD; so words of other languages restore too."""
    for _, mnemonic, seed, xprv in BY_LANGUAGE[language]:
        found = seed_from_mnemonic(mnemonic, PASSPHRASE)
        assert found.hex() == seed
        assert ExtendedPrivateKey.from_seed(found).serialize(MAINNET.bip32_private) == xprv


@pytest.mark.parametrize(("entropy", "mnemonic"), [case[:2] for case in BY_LANGUAGE["english"]])
def test_english_words_to_entropy_and_back(entropy: str, mnemonic: str) -> None:
    """The words shown at first start must be those of the entropy that was drawn."""
    assert mnemonic_from_entropy(bytes.fromhex(entropy)) == mnemonic
    assert entropy_from_mnemonic(mnemonic).hex() == entropy
    assert entropy_from_mnemonic("  " + mnemonic.upper().replace(" ", "\n") + " ").hex() == entropy


@given(st.sampled_from([16, 20, 24, 28, 32]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
def test_any_entropy_round_trips(entropy: bytes) -> None:
    """All five lengths, not only the three of the vectors."""
    assert entropy_from_mnemonic(mnemonic_from_entropy(entropy)) == entropy


GOOD = mnemonic_from_entropy(bytes(16))


def test_wrong_words_are_refused_without_being_shown() -> None:
    """An error with the words in it would carry the wallet into a log."""
    for bad, offset in (
        (GOOD.replace("about", "abouts"), 11),
        (GOOD.replace("about", "zoo"), -1),
        (GOOD + " about", -1),
    ):
        with pytest.raises(DecodeError) as error:
            entropy_from_mnemonic(bad)
        assert error.value.offset == offset
        assert not any(word in str(error.value).split() for word in bad.split())


@pytest.mark.parametrize("length", [0, 15, 17, 33])
def test_entropy_of_another_length_is_refused(length: int) -> None:
    """BIP 39 defines five lengths."""
    with pytest.raises(ValueError, match="16, 20, 24, 28 or 32"):
        mnemonic_from_entropy(bytes(length))


words = st.lists(st.sampled_from(english_words()), min_size=12, max_size=12).map(" ".join)


@given(st.one_of(st.text(max_size=100), words))
def test_any_text_raises_nothing_but_decode_error(text: str) -> None:
    """Words are typed by people, under stress."""
    try:
        entropy = entropy_from_mnemonic(text)
    except DecodeError:
        return
    assert entropy_from_mnemonic(mnemonic_from_entropy(entropy)) == entropy
