"""The fifteen bytes that our payment secrets carry."""

import pytest

from leyden.payments.terms import InvoiceTerms, decode_terms, encode_terms


@pytest.mark.parametrize(
    "terms",
    [
        InvoiceTerms(0, 0, 18),
        InvoiceTerms(1, 1_700_000_000, 42),
        InvoiceTerms((1 << 64) - 1, (1 << 40) - 1, (1 << 16) - 1),
        InvoiceTerms(2_100_000_000_000_000_000, (1 << 32) + 5, 2016),
    ],
)
def test_terms_come_back_as_they_went(terms: InvoiceTerms) -> None:
    """An invoice is judged by them alone, in whatever life."""
    raw = encode_terms(terms)
    assert len(raw) == 15
    assert decode_terms(raw) == terms
