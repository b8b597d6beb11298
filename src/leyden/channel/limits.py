"""Whether an HTLC fits: the rules of BOLT 2, "Adding an HTLC: `update_add_htlc`", for both directions.

All checks read counters that the views keep, so their cost does not grow with the number of HTLCs.
"""

from leyden.channel.core import ChannelCore
from leyden.channel.env import ChannelEnv
from leyden.channel.view import CommitmentView
from leyden.transactions import fees
from leyden.transactions.types import CommitmentHtlc

MAX_HTLCS_PER_SIDE = 483
CLTV_EXPIRY_LIMIT = 500_000_000

NO_SLOT = "no_slot"
IN_FLIGHT_LIMIT = "in_flight_limit"
INSUFFICIENT_BALANCE = "insufficient_balance"
BELOW_MINIMUM = "below_htlc_minimum"
DUST_EXPOSURE = "dust_exposure"
QUEUE_FULL = "queue_full"
BAD_EXPIRY = "bad_expiry"
DISCONNECTED = "disconnected"
CLOSING = "closing"

WAITS = frozenset({NO_SLOT, IN_FLIGHT_LIMIT})
"""Refusals that pass when HTLCs of this channel are resolved; such an HTLC waits in the queue."""


def refusal(core: ChannelCore, next_remote: CommitmentView, amount_msat: int, env: ChannelEnv) -> str:
    """Return why an HTLC of ours cannot be offered on top of `next_remote`, or an empty string.

    next_remote: the peer's next commitment with all that is sent before it.
    """
    remote = core.opened.remote
    if amount_msat < max(remote.htlc_minimum_msat, 1):
        return BELOW_MINIMUM
    if next_remote.offered_count >= min(remote.max_accepted_htlcs, MAX_HTLCS_PER_SIDE):
        return NO_SLOT
    if next_remote.offered_msat + amount_msat > remote.max_htlc_value_in_flight_msat:
        return IN_FLIGHT_LIMIT
    if _exceeds_dust(core, next_remote, amount_msat, env):
        return DUST_EXPOSURE
    if amount_msat > _spendable_msat(core, next_remote):
        return INSUFFICIENT_BALANCE
    return ""


def spendable_msat(core: ChannelCore, queued_msat: int) -> int:
    """Return about how much one more HTLC could carry now (never negative); for choosing channels, not a promise."""
    return max(0, min(_spendable_msat(core, core.remote), in_flight_room_msat(core)) - queued_msat)


def in_flight_room_msat(core: ChannelCore) -> int:
    """Return what the peer's in-flight limit leaves."""
    return core.opened.remote.max_htlc_value_in_flight_msat - core.remote.offered_msat


def receivable_msat(core: ChannelCore) -> int:
    """Return about how much the peer could send us in one HTLC now (never negative)."""
    reserve_msat = core.opened.local.channel_reserve_satoshis * 1000
    cost_msat = 0 if core.opened.is_opener else _opener_cost_msat(core.local, core.local.untrimmed + 1)
    room_msat = core.opened.local.max_htlc_value_in_flight_msat - core.local.received_msat
    return max(0, min(core.local.remote_msat - reserve_msat - cost_msat, room_msat))


def _opener_cost_msat(view: CommitmentView, untrimmed: int) -> int:
    return fees.commitment_cost_sat(view.feerate_per_kw, untrimmed, view.anchors) * 1000


def _spendable_msat(core: ChannelCore, next_remote: CommitmentView) -> int:
    """Our balance above our reserve, and above what keeps the opener able to pay for one HTLC more."""
    reserve_msat = core.opened.remote.channel_reserve_satoshis * 1000
    balance_msat = next_remote.local_msat - reserve_msat
    untrimmed = 1 + max(
        next_remote.untrimmed, core.local.untrimmed + len(core.own_signed.adds) + len(core.own_acked.adds)
    )
    if core.opened.is_opener:
        # Fee-spike buffer: room for twice the feerate and one more HTLC (BOLT 2, "Adding an HTLC").
        buffer_msat = (
            fees.commitment_cost_sat(2 * next_remote.feerate_per_kw, untrimmed + 1, next_remote.anchors) * 1000
        )
        return balance_msat - buffer_msat
    # The peer pays the fee: our HTLC must not push it below its reserve.
    peer_reserve_msat = core.opened.local.channel_reserve_satoshis * 1000
    if next_remote.remote_msat - _opener_cost_msat(next_remote, untrimmed) < peer_reserve_msat:
        return 0
    return balance_msat


def _exceeds_dust(core: ChannelCore, next_remote: CommitmentView, amount_msat: int, env: ChannelEnv) -> bool:
    local = core.local
    if local.anchors and amount_msat >= max(next_remote.offered_threshold_msat, local.offered_threshold_msat):
        return False
    remote_offered_msat, remote_received_msat = judged_thresholds(next_remote, env)
    local_offered_msat, local_received_msat = judged_thresholds(local, env)
    if amount_msat >= remote_offered_msat and amount_msat >= local_offered_msat:
        return False
    exposure_max_msat = env.limits.max_dust_htlc_exposure_msat
    # With anchors and one dust limit all four thresholds are the same, and the kept sums bound both exposures from
    # above.
    kept = core.opened.anchors and remote_offered_msat == local_offered_msat
    if kept and local.dust_msat + next_remote.dust_msat + amount_msat <= exposure_max_msat:
        return False
    if amount_msat < remote_offered_msat:
        dust_msat = dust_sum_msat(next_remote.htlcs, remote_offered_msat, remote_received_msat)
        if dust_msat + amount_msat > exposure_max_msat:
            return True
    if amount_msat < local_offered_msat:
        # What is on the peer's next commitment comes to ours too; what has left it may still be on ours.
        dust_msat = dust_sum_msat(next_remote.htlcs | local.htlcs, local_offered_msat, local_received_msat)
        return dust_msat + amount_msat > exposure_max_msat
    return False


def judged_thresholds(view: CommitmentView, env: ChannelEnv) -> tuple[int, int]:
    """Return below what HTLCs offered by us, and by the peer, count as dust on `view`, in msat.

    Without anchors a rise of the feerate trims more, so they are those of a higher feerate
    (`dust_buffer_feerate_per_kw`).
    """
    if view.anchors:
        return view.offered_threshold_msat, view.received_threshold_msat
    return _thresholds_at(view, env.buffer_feerate_per_kw(view.feerate_per_kw))


def _thresholds_at(view: CommitmentView, feerate_per_kw: int) -> tuple[int, int]:
    thresholds = fees.trim_thresholds(view.dust_limit_satoshis, feerate_per_kw, view.anchors)
    if view.is_local:
        return thresholds.offered_msat, thresholds.received_msat
    return thresholds.received_msat, thresholds.offered_msat


def dust_sum_msat(htlcs: dict[int, CommitmentHtlc], offered_msat: int, received_msat: int) -> int:
    """Return the sum of the HTLCs (by key of `CommitmentView.htlcs`) below the threshold of whoever offers them."""
    return sum(
        [
            htlc.amount_msat
            for key, htlc in htlcs.items()
            if htlc.amount_msat < (offered_msat if key & 1 else received_msat)
        ]
    )


def feerate_exceeds_dust(views: tuple[CommitmentView, ...], feerate_per_kw: int, env: ChannelEnv) -> bool:
    """Return whether a rise to this feerate trims more on one of `views` than we risk (BOLT 2, "Updating Fees")."""
    for view in views:
        if view.anchors or feerate_per_kw <= view.feerate_per_kw:
            continue
        dust_msat = dust_sum_msat(view.htlcs, *_thresholds_at(view, feerate_per_kw))
        if dust_msat > env.limits.max_dust_htlc_exposure_msat:
            return True
    return False


def inbound_exceeds_dust(core: ChannelCore, amount_msat: int, env: ChannelEnv) -> bool:
    """Return whether a committed HTLC of the peer is one trimmed HTLC too many: it is failed, nothing is revealed."""
    exposure_max_msat = env.limits.max_dust_htlc_exposure_msat
    for view in (core.local, core.remote):
        offered_msat, received_msat = judged_thresholds(view, env)
        if amount_msat >= received_msat:
            continue
        dust_msat = view.dust_msat if view.anchors else dust_sum_msat(view.htlcs, offered_msat, received_msat)
        if dust_msat > exposure_max_msat:
            return True
    return False


def check_received(core: ChannelCore, view: CommitmentView, amount_msat: int) -> str:
    """Return which limit of ours an HTLC of the peer breaks on top of `view`, or an empty string."""
    local = core.opened.local
    if amount_msat < max(local.htlc_minimum_msat, 1):
        return "amount_msat is below our htlc_minimum_msat"
    if view.received_count >= min(local.max_accepted_htlcs, MAX_HTLCS_PER_SIDE):
        return "more HTLCs than our max_accepted_htlcs"
    if view.received_msat + amount_msat > local.max_htlc_value_in_flight_msat:
        return "more in flight than our max_htlc_value_in_flight_msat"
    reserve_msat = local.channel_reserve_satoshis * 1000
    untrimmed = view.untrimmed + (amount_msat >= view.received_threshold_msat)
    cost_msat = 0 if core.opened.is_opener else _opener_cost_msat(view, untrimmed)
    if view.remote_msat - amount_msat < reserve_msat + cost_msat:
        return "amount_msat is more than the sender can afford above its reserve and the fee"
    return ""
