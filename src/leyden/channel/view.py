"""One side's latest commitment, as numbers: who has what, and which HTLCs are in it.

Everything that a limit asks for is kept while HTLCs come and go, so that a check costs the same with 1 and with 966 of
them. `local` and `remote` mean us and them, on both sides' views.
"""

import msgspec

from leyden.channel.htlc import Changes, InboundHtlc, OutboundHtlc
from leyden.transactions import fees
from leyden.transactions.types import CommitmentHtlc


class CommitmentView(msgspec.Struct):
    """The commitment `number` of one side.

    local_msat, remote_msat: balances before fees. htlcs: by 2 * htlc_id + (1 when we offered it).
    untrimmed: HTLC outputs. dust_msat: sum of the trimmed ones. offered_*, received_*: count and sum by who offered
    (offered: us). offered_threshold_msat: below this an HTLC offered by us has no output here; received_threshold_msat
    likewise.
    """

    is_local: bool
    anchors: bool
    dust_limit_satoshis: int
    number: int
    feerate_per_kw: int
    local_msat: int
    remote_msat: int
    htlcs: dict[int, CommitmentHtlc]
    untrimmed: int = 0
    dust_msat: int = 0
    offered_count: int = 0
    offered_msat: int = 0
    received_count: int = 0
    received_msat: int = 0
    offered_threshold_msat: int = 0
    received_threshold_msat: int = 0

    def __post_init__(self) -> None:
        """Compute the trimming thresholds of the feerate."""
        self._set_thresholds()

    def copy(self) -> "CommitmentView":
        """Return an independent copy; HTLC values are shared, they never change."""
        return CommitmentView(
            self.is_local,
            self.anchors,
            self.dust_limit_satoshis,
            self.number,
            self.feerate_per_kw,
            self.local_msat,
            self.remote_msat,
            self.htlcs.copy(),
            self.untrimmed,
            self.dust_msat,
            self.offered_count,
            self.offered_msat,
            self.received_count,
            self.received_msat,
        )

    def fee_satoshis(self, untrimmed: int) -> int:
        """Return the commitment fee with `untrimmed` HTLC outputs (BOLT 3, "Fee Calculation"), anchors not included."""
        return fees.commitment_fee_sat(self.feerate_per_kw, untrimmed, self.anchors)

    def set_feerate(self, feerate_per_kw: int) -> None:
        """Change the feerate; without anchors another set of HTLCs may become trimmed."""
        self.feerate_per_kw = feerate_per_kw
        self._set_thresholds()
        if not self.anchors:
            self.untrimmed = self.dust_msat = 0
            for key, htlc in self.htlcs.items():
                self._count_output(htlc.amount_msat, bool(key & 1), 1)

    def apply(self, changes: Changes) -> None:
        """Take `changes` into this commitment."""
        for htlc in changes.adds:
            self.add(htlc)
        for removed, fulfilled in changes.removals:
            self.remove(removed, fulfilled)
        if changes.feerate_per_kw:
            self.set_feerate(changes.feerate_per_kw)

    def add(self, htlc: OutboundHtlc | InboundHtlc) -> None:
        """Take in an HTLC; its amount leaves the balance of whoever offers it."""
        entry = htlc.local if self.is_local else htlc.remote
        amount_msat = entry.amount_msat
        if type(htlc) is OutboundHtlc:
            self.local_msat -= amount_msat
            self.offered_count += 1
            self.offered_msat += amount_msat
            self.htlcs[2 * entry.htlc_id + 1] = entry
            self._count_output(amount_msat, True, 1)
        else:
            self.remote_msat -= amount_msat
            self.received_count += 1
            self.received_msat += amount_msat
            self.htlcs[2 * entry.htlc_id] = entry
            self._count_output(amount_msat, False, 1)

    def remove(self, htlc: OutboundHtlc | InboundHtlc, fulfilled: bool) -> None:
        """Take out an HTLC; its amount goes to the receiver when fulfilled, else back."""
        amount_msat = htlc.add.amount_msat
        if type(htlc) is OutboundHtlc:
            del self.htlcs[2 * htlc.add.htlc_id + 1]
            self.offered_count -= 1
            self.offered_msat -= amount_msat
            self._count_output(amount_msat, True, -1)
            if fulfilled:
                self.remote_msat += amount_msat
            else:
                self.local_msat += amount_msat
        else:
            del self.htlcs[2 * htlc.add.htlc_id]
            self.received_count -= 1
            self.received_msat -= amount_msat
            self._count_output(amount_msat, False, -1)
            if fulfilled:
                self.local_msat += amount_msat
            else:
                self.remote_msat += amount_msat

    def _count_output(self, amount_msat: int, offered: bool, sign: int) -> None:
        threshold = self.offered_threshold_msat if offered else self.received_threshold_msat
        if amount_msat < threshold:
            self.dust_msat += sign * amount_msat
        else:
            self.untrimmed += sign

    def _set_thresholds(self) -> None:
        thresholds = fees.trim_thresholds(self.dust_limit_satoshis, self.feerate_per_kw, self.anchors)
        if self.is_local:
            self.offered_threshold_msat, self.received_threshold_msat = (
                thresholds.offered_msat,
                thresholds.received_msat,
            )
        else:
            # On the peer's commitment what we offer is what the broadcaster receives.
            self.offered_threshold_msat, self.received_threshold_msat = (
                thresholds.received_msat,
                thresholds.offered_msat,
            )
