"""Claim transactions of this life: volatile, made again from the state and the chain."""

from itertools import accumulate

import msgspec

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.crypto.hashes import sha256
from leyden.monitor.claimable import OutputClaim

COINS_WEIGHT = 400
"""What a coin of the wallet and a change output add: a P2WPKH input (272) and output (124)."""


class Version(msgspec.Struct):
    """A version of a claim in the making: it waits for coins, or for the signer. feerate_per_kw, fee_sat: what it pays.
    txid: empty before it is known.
    """

    feerate_per_kw: int
    fee_sat: int
    txid: bytes = b""


class ActiveClaim(msgspec.Struct):
    """A transaction that is to claim outputs of one channel, in its latest version.

    claim_id: 32 bytes, made of the outputs. claims: what it spends, in input order. with_coins: coins of the wallet pay
    its fee. fixed: nothing of it can be changed (an HTLC transaction without anchors).
    feerate_per_kw, fee_sat, weight, transaction (serialised), txid: of the version that was published last; empty
    before the first. made_height, sent_height: when it was made, and published last. refused: the chain service did
    not take it. outbid: because another transaction waits in its place, which pays more. without_coins: the wallet had
    none for it when it was asked last; told: at which level that was reported. merged: made of claims that each had no
    coins; it does not part again because its deadline is near. making: the version that is to replace it, until it is
    signed. dropped: what it spends is claimed otherwise, or by nobody: a late signature is of no use.
    """

    claim_id: bytes
    claims: tuple[OutputClaim, ...]
    with_coins: bool
    fixed: bool
    feerate_per_kw: int = 0
    fee_sat: int = 0
    weight: int = 0
    transaction: bytes = b""
    txid: bytes = b""
    made_height: int = 0
    sent_height: int = 0
    refused: bool = False
    outbid: bool = False
    without_coins: bool = False
    told: str = ""
    merged: bool = False
    making: Version | None = None
    dropped: bool = False

    @property
    def value_sat(self) -> int:
        """What its outputs hold."""
        return sum([claim.input.value_sat for claim in self.claims])

    @property
    def start_height(self) -> int:
        """The first height at which all of it could be claimed: the same in every life."""
        return max([claim.unlock_height for claim in self.claims]) - 1

    @property
    def deadline_height(self) -> int | None:
        """The first deadline of what it claims."""
        return min([claim.deadline_height for claim in self.claims if claim.deadline_height is not None], default=None)

    def due_sat(self) -> list[tuple[int | None, int]]:
        """Return for each deadline what must be claimed by then, the first ones too; None, last: at any time."""
        values: dict[int | None, int] = {}
        for claim in self.claims:
            values[claim.deadline_height] = values.get(claim.deadline_height, 0) + claim.input.value_sat
        deadlines = sorted(values, key=lambda height: (height is None, height or 0))
        return list(zip(deadlines, accumulate([values[height] for height in deadlines]), strict=True))


_TAKEN = ("insufficient fee", "replacement", "RBF", "conflict")
"""What Bitcoin Core says when another transaction has the place: of the peer, or an older one of ours."""


def note_result(active: ActiveClaim, accepted: bool, reason: str) -> None:
    """The chain service took the version that was published last, or did not. reason: its words."""
    active.refused = not accepted
    active.outbid = not accepted and any(word in reason for word in _TAKEN)


class ActiveSweep(msgspec.Struct):
    """The sweep of this life. claims: what it spends, in input order. channels: whose output each is.

    feerate_per_kw, fee_sat: of the version published last. transaction: serialised, empty until it is signed.
    made_height: when it was made. signatures: those that the signer has given, by input index. left: requests that it
    has not answered.
    """

    claims: tuple[OutputClaim, ...]
    feerate_per_kw: int
    fee_sat: int
    made_height: int
    unsigned: Transaction
    transaction: bytes = b""
    txid: bytes = b""
    signatures: dict[int, bytes] = {}
    left: int = 0
    refused: bool = False

    def outpoints(self) -> list[OutPoint]:
        """Return what it spends."""
        return [claim.input.outpoint for claim in self.claims]


def claim_id_of(outpoints: list[OutPoint]) -> bytes:
    """Name a claim by what it spends."""
    return sha256(b"".join([outpoint.serialize() for outpoint in outpoints]))


def describe(active: ActiveClaim) -> str:
    """Say for the log what a claim is."""
    kinds = dict.fromkeys([claim.input.kind.value for claim in active.claims])
    return f"claim of {len(active.claims)} outputs ({', '.join(kinds)})"
