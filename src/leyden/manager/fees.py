"""Fee policy: which feerate our commitments should have."""

from leyden.channel.inputs import ChangeFeerate
from leyden.manager.manager import Manager

ANCHOR_FEERATE_MAX_PER_KW = 2500
"""With anchors a commitment needs only enough to relay; a child pays for the rest."""
CHANGE_PERCENT_MIN = 20


def target_feerate_per_kw(estimate_per_kw: int, *, anchors: bool) -> int:
    """Return the feerate for a commitment of ours."""
    return min(estimate_per_kw, ANCHOR_FEERATE_MAX_PER_KW) if anchors else estimate_per_kw


def set_feerates(m: Manager, feerate_per_kw: int, closing_feerate_per_kw: int) -> None:
    """Take new estimates; channels that we opened follow when the change is worth a commitment."""
    m.set_env(feerate_per_kw=feerate_per_kw, closing_feerate_per_kw=closing_feerate_per_kw)
    for slot in m.channels.values():
        core = slot.state.core
        if not core.opened.is_opener:
            continue
        now = core.remote.feerate_per_kw
        target = target_feerate_per_kw(feerate_per_kw, anchors=core.opened.anchors)
        if abs(target - now) * 100 > now * CHANGE_PERCENT_MIN:
            m.guarded(slot, ChangeFeerate(target))


def feerate_for(m: Manager, blocks: int) -> int:
    """Return the feerate (sat/kw) to confirm within so many blocks: that of the longest target that is no longer.

    Before any estimate is known it is that of commitments (`ChannelEnv.feerate_per_kw`).
    """
    targets = [target for target in m.feerates if target <= blocks] or [min(m.feerates, default=0)]
    return m.feerates.get(max(targets), m.env.feerate_per_kw)
