"""Why a payment failed, as values a program can act on."""

from typing import Final

import msgspec

from leyden.sphinx.failures import FailureCode, FailureMessage

RECIPIENT_REJECTED: Final = "recipient_rejected"
NO_ROUTE: Final = "no_route"
INSUFFICIENT_BALANCE: Final = "insufficient_balance"
BELOW_MINIMUM: Final = "below_minimum"
ROUTE_FAILED: Final = "route_failed"
FEE_LIMIT: Final = "fee_limit"
DEADLINE: Final = "deadline"
ABANDONED: Final = "abandoned"
UNREADABLE_FAILURE: Final = "unreadable_failure"
DATA_LOST: Final = "data_lost"
ONCHAIN_TIMEOUT: Final = "onchain_timeout"

ADVICE: Final[dict[str, str]] = {
    RECIPIENT_REJECTED: "the recipient does not take this payment; ask it for a new invoice",
    NO_ROUTE: "no channel of this node and no hint of the invoice leads to the recipient; open a channel to it",
    INSUFFICIENT_BALANCE: "not enough is spendable in the channels that lead to the recipient; pay less or add funds",
    BELOW_MINIMUM: "the amount is below the smallest HTLC that the peers on the way take; pay more at once",
    ROUTE_FAILED: "every way to the recipient failed; try again later",
    FEE_LIMIT: "the ways that are left cost more than the fee limit; raise it",
    DEADLINE: "no way was found before the deadline; try again with a later one",
    ABANDONED: "it was given up on request",
    UNREADABLE_FAILURE: "a node on the way sent back something unreadable; try again later",
    DATA_LOST: "this node's data are an old copy, so it may have been paid: ask the recipient before you pay again",
    ONCHAIN_TIMEOUT: "its channel was closed with the payment in it, which came back on chain; pay again if you like",
}


class Failure(msgspec.Struct, frozen=True, gc=False):
    """The failure of one part. hop: index on the route (0: our peer), -1 unknown; code: failure_code of BOLT 4, 0
    unknown.
    """

    hop: int
    code: int
    is_final: bool


ONCHAIN_FAILURE: Final = Failure(-1, FailureCode.PERMANENT_CHANNEL_FAILURE.value, is_final=False)
"""The channel of the payer itself is at its end, and the chain gave the part back: no node has sent this."""


_CODE_NAMES: Final[dict[int, str]] = {0: "", **{int(known.value): known.name.lower() for known in FailureCode}}


def code_name(code: int) -> str:
    """Return the BOLT 4 name of a failure_code, or its number; empty for 0."""
    return _CODE_NAMES.get(code) or (f"unknown_{code:#06x}" if code else "")


_RECIPIENT_MAY_CHANGE: Final = frozenset(
    {
        FailureCode.MPP_TIMEOUT.value,
        FailureCode.TEMPORARY_NODE_FAILURE.value,
        FailureCode.TEMPORARY_CHANNEL_FAILURE.value,
    }
)


def is_final_rejection(failure: FailureMessage) -> bool:
    """Return whether the recipient's own failure makes every further attempt pointless.

    Spec: BOLT 4, "Receiving Failure Codes".
    """
    return failure.failure_code not in _RECIPIENT_MAY_CHANGE
