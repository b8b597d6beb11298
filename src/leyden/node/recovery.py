"""A store that is an old copy of itself: known by the second place before anybody is met (DESIGN section 6, "Restored
stores").

What is known to be behind never closes and asks its peer to; nothing whose fate the copy may not know is carried on.
"""

from collections.abc import Iterator, Mapping

import msgspec

from leyden.base.errors import StorageBroken
from leyden.base.ids import NODE_JOURNAL
from leyden.channel.core import ChannelCore
from leyden.channel.inputs import Learn
from leyden.drivers.markfile import Mark
from leyden.journal.records import ProvenStale
from leyden.manager.manager import Manager
from leyden.manager.rebuild import Folded
from leyden.node import files
from leyden.payments import outcome


class OldCopy(msgspec.Struct, frozen=True):
    """What the second place says of a store.

    is_old: a later life has worked on the store than this copy knows of, or journals had got further.
    unreadable: journals that cannot be folded, with their position in the store.
    epochs: (marked, of this life). behind: journal -> (position marked, position stored), 0 when it is not there.
    """

    is_old: bool
    epochs: tuple[int, int]
    behind: Mapping[str, tuple[int, int]]
    unreadable: Mapping[str, int]

    def lost(self) -> dict[str, int]:
        """Return the journals that are not started, with the position that they had reached: the next mark has them
        too.
        """
        gone = {journal: position for journal, (position, has) in self.behind.items() if not has}
        return gone | {journal: self.behind.get(journal, (has, 0))[0] for journal, has in self.unreadable.items()}

    def sentences(self) -> list[str]:
        """Say for the operator what is wrong; empty when nothing is."""
        if not self.is_old:
            return []
        said = [
            f"{journal} ends at record {has}, but had reached {position}: this is an old copy"
            for journal, (position, has) in self.behind.items()
        ]
        marked, epoch = self.epochs
        return said or [f"the journals are of life {epoch}, but life {marked} has been: this is an old copy"]


def compare(mark: Mark | None, folded: Folded, epoch: int, place: str) -> OldCopy:
    """Compare the store with the second place. epoch: of this life. place: where the mark is, for people.

    Raises: StorageBroken for a store without any journal beside a mark that knows of channels: it is lost, not new.
    """
    unreadable = {journal: one.position for journal, one in folded.unreadable.items()}
    if mark is None:
        return OldCopy(False, (0, epoch), {}, unreadable)
    known = [journal for journal in mark.positions if journal.startswith("channel/")]
    if folded.node.born is None and known:
        raise StorageBroken(
            f"there are no journals in {files.STORE_FILE}, but {place} knows {len(known)} channel(s) of this "
            f"node: put {files.STORE_FILE} back where it was last intact. If it is lost for good, make a new data "
            "directory from the seed words (`leyden init --restore`) and ask your peers to close"
        )
    stored = {f"channel/{state.core.opened.channel_id.hex()}": state.core.position for state in folded.channels}
    stored |= {**unreadable, NODE_JOURNAL: folded.node_position}
    missing = mark.missing(stored)
    behind = {journal: counts for journal, counts in missing.items() if journal not in folded.node.archived}
    # Each life takes a higher epoch than all before it, and only a life that has opened the store writes a mark.
    return OldCopy(bool(behind) or epoch <= mark.epoch, (mark.epoch, epoch), behind, unreadable)


def recover(m: Manager, old: OldCopy) -> None:
    """Before anything is decided: put channels into recovery, and give up payments that may have been made already.

    A channel that has not moved since the copy may still hold an HTLC that was carried on in another one.
    """
    if not old.is_old:
        return
    for slot in m.channels.values():
        core = slot.state.core
        if core.stale or core.closing is not None or core.spent is not None or core.closed_height or core.abandoned:
            continue  # after `Closing` no secret was revealed, so even an old copy holds the newest commitment
        if slot.tail.journal in old.behind or any(_may_be_carried_on(m, core)):
            m.guarded(slot, Learn(ProvenStale(0)))
    for payment in m.node.ledger.live.values():
        payment.give_up = payment.give_up or outcome.DATA_LOST


def _may_be_carried_on(m: Manager, core: ChannelCore) -> Iterator[bool]:
    """Yield, for each inbound HTLC that waits for a decision in the copy, whether nobody owns it there."""
    owned = dict.fromkeys(
        [
            (source.origin, source.index)
            for slot in m.channels.values()
            for source in [
                *[htlc.add.source for htlc in slot.state.core.outbound.values()],
                *[one.source for one in slot.state.core.outcomes.values()],
            ]
            if source is not None and source.forwarded
        ]
    )
    for htlc_id, htlc in core.inbound.items():
        if htlc.committed and not htlc.decided() and htlc.set_id not in core.shown:
            yield (core.opened.channel_id, htlc_id) not in owned
