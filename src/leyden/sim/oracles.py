"""What must hold when a world has come to rest. Each check raises `Violation` with everything that is wrong."""

from collections import Counter
from collections.abc import Iterator, Sequence

from leyden.bitcoin.networks import REGTEST
from leyden.channel.snapshot import encode_core
from leyden.channel.states import AwaitingReady, Closed, MutualClose, Negotiating, Normal, Spent
from leyden.manager import events as ev
from leyden.manager import rebuild
from leyden.manager.node_snapshot import encode_node_snapshot
from leyden.manager.state import Slot
from leyden.node import boot
from leyden.signer.in_memory import InMemorySigner
from leyden.sim import settlement
from leyden.sim.books import Books, balance_msat, chain_msat
from leyden.sim.disk import SimStore
from leyden.sim.node import SimNode
from leyden.sim.settlement import check_settled
from leyden.sim.user import Order
from leyden.sim.world import World


class Violation(AssertionError):
    """Something that must hold does not."""


def check_rest(world: World, books: Books, orders: Sequence[Order]) -> None:
    """Check everything. Raises: Violation."""
    wrong = [*_channels(world), *_payments(world, orders), *_money(world, books, orders), *check_settled(world)]
    for node in world.nodes.values():
        wrong += [f"{node.name}: {what}" for what in (*_waiting(node), *_events(node), *_folds(node), *_again(node))]
        alarms = [report.text for report in node.reports if report.level == "error"]
        # Whoever starts from an old copy, or has a channel in which somebody cheats, is to be alarmed.
        alarmed = (world.restored, *world.cheats.values())
        wrong += [f"{node.name}: reports {text}" for text in alarms if all(node.name not in names for names in alarmed)]
    if wrong:
        raise Violation("\n".join(wrong))


def _channels(world: World) -> Iterator[str]:
    """No channel is closed that nobody asked to close, both ends agree, and what is linked is connected."""
    for node in world.nodes.values():
        for slot in node.manager.channels.values():
            peer = world.node_of(slot.peer)
            name = f"channel {slot.channel_id.hex()[:8]} of {node.name} and {peer.name}"
            twin = peer.manager.channels.get(slot.channel_id)
            if twin is None:
                # The opener lost it before it could be funded; whoever accepted it has given it up. Or it is archived.
                archived = slot.tail.journal in peer.manager.node.archived
                if type(slot.state) is not Closed or (slot.state.core.funding is not None and not archived):
                    yield f"{name}: {peer.name} does not know it"
                continue
            yield from (f"{name}: {what}" for what in _end(world, node, slot, twin))


def _end(world: World, node: SimNode, slot: Slot, twin: Slot) -> Iterator[str]:
    core, other = slot.state.core, twin.state.core
    if type(slot.state) in (MutualClose, Spent, Closed) and slot.channel_id in world.closes_asked:
        return
    if core.abandoned or other.abandoned:
        yield from _never_opened(world, node, slot, twin)
        return
    if world.closes_asked.get(slot.channel_id):
        yield f"is {type(slot.state).__name__}, and should be closed"
        return
    if type(slot.state) not in (Normal, AwaitingReady):
        closing = core.closing.reason if core.closing is not None else ""
        yield f"is {type(slot.state).__name__} {closing}"
        return
    open_link = world.links.get((node.name, _name(world, slot))) or world.links.get((_name(world, slot), node.name))
    if open_link and not slot.state.session.reestablished:
        yield "is not connected"
    if (core.local.number, core.local.local_msat) != (other.remote.number, other.remote.remote_msat):
        theirs = f"{other.remote.number} {other.remote.remote_msat}"
        yield f"the ends disagree: {core.local.number} {core.local.local_msat}, {theirs}"
    if core.local.local_msat != core.remote.local_msat:
        yield "both commitments differ"
    if core.local.local_msat + core.local.remote_msat != core.capacity_satoshis * 1000:
        yield f"{core.local.local_msat} and {core.local.remote_msat} msat are not its capacity"
    if core.has_pending_htlcs():
        yield f"HTLCs are left: {list(core.inbound)} in, {list(core.outbound)} out"


def _never_opened(world: World, node: SimNode, slot: Slot, twin: Slot) -> Iterator[str]:
    """A batch that a crash or a peer has ended: no member lives anywhere, and its transaction was never published."""
    ends = (slot.state.core, twin.state.core)
    if not all(core.abandoned for core in ends):
        yield "is abandoned by one end alone"
    if not any(core.opened.batch for core in ends):
        yield f"is abandoned: {ends[0].abandoned}"
    for channel_id in ends[0].opened.batch:
        member = node.manager.channels.get(channel_id)
        if member is not None and not member.state.core.abandoned:
            yield f"is abandoned, and {channel_id.hex()[:8]} of the same batch is not"
    if any(txid == ends[0].opened.funding_txid for txid, _what in world.broadcasts):
        yield "is abandoned, and its funding was published"


def _name(world: World, slot: Slot) -> str:
    return world.node_of(slot.peer).name


def _payments(world: World, orders: Sequence[Order]) -> Iterator[str]:
    """Every payment that was accepted has ended, the same way at both ends, and was told."""
    for order in orders:
        name = f"payment {order.started.payment_id.hex()[:8]}"
        payer = world.nodes[order.payer]
        payment = payer.manager.node.ledger.payments.get(order.started.payment_id)
        if payment is None:
            yield f"{name} was {'accepted' if order.accepted else 'asked for'} and is unknown"
            continue
        if payment.is_live or payment.parts:
            yield f"{name} has not ended: {payment.parts}"
            continue
        told = {type(shown.event) for shown in payer.shown if _names(shown.event, order)}
        wanted = ev.PaymentSent if payment.sent is not None else ev.PaymentFailed
        # Whoever starts from an old copy may have told before that a payment was sent, and does not know it any more.
        if told != {wanted} and not (wanted in told and order.payer in world.restored):
            yield f"{name}: told {sorted(kind.__name__ for kind in told)}, not {wanted.__name__}"
    yield from _claims(world, orders)


def _claims(world: World, orders: Sequence[Order]) -> Iterator[str]:
    """What payers of a hash have sent is what its payee has claimed and was told: no more, no less, each once.

    Whoever cheats at either end may say what it wants, and who starts from an old copy may have lost what it claims.
    Dust that was claimed may fail at its payer, when the commitment that closed a channel on its way has no output of
    it that anybody takes: nothing on the chain shows the preimage.
    """
    for payment_hash, payee in dict.fromkeys((one.started.payment_hash, one.payee) for one in orders):
        sent: Counter[int] = Counter()
        payers = [order.payer for order in orders if order.started.payment_hash == payment_hash]
        for order in orders:
            payment = world.nodes[order.payer].manager.node.ledger.payments.get(order.started.payment_id)
            is_meant = (order.started.payment_hash, order.payee) == (payment_hash, payee)
            if is_meant and payment is not None and payment.sent is not None:
                sent[payment.started.amount_msat] += 1
        told = {
            shown.event.event_id: shown.event.amount_msat
            for shown in world.nodes[payee].shown
            if isinstance(shown.event, ev.PaymentClaimed) and shown.event.payment_hash == payment_hash
        }
        claimed = Counter(told.values())
        is_trusted = not world.restored and not any(names[0] in (payee, *payers) for names in world.cheats.values())
        unpaid_msat = sum((claimed - sent).elements())
        if is_trusted and (sent - claimed or unpaid_msat > world.dust_msat(payment_hash)):
            told_msat = (sorted(claimed.elements()), sorted(sent.elements()))
            yield f"hash {payment_hash.hex()[:8]}: {payee} claimed {told_msat[0]}, the payers say {told_msat[1]}"


def _names(event: ev.Event, order: Order) -> bool:
    return isinstance(event, ev.PaymentSent | ev.PaymentFailed) and event.payment_id == order.started.payment_id


def _money(world: World, books: Books, orders: Sequence[Order]) -> Iterator[str]:
    """Everybody owns what the payments say, less the fees that it may have paid, and all together what the chain holds.

    Whoever cheats or starts from an old copy may lose its channels, and others gain no more than that. What costs more
    to claim than it brings is nobody's.
    """
    owned = {name: balance_msat(node) for name, node in world.nodes.items()}
    expected, fees_msat = books.expected(world, orders), books.fees_msat(world)
    left_msat = sum(settlement.left_over(world).values()) * 1000
    cheaters = dict.fromkeys((*[names[0] for names in world.cheats.values()], *world.restored))
    punishers = {name: None for names in world.cheats.values() for name in names[1:]}
    punishers |= {name: None for name in world.nodes if world.restored}
    won_msat = sum([max(0, owned[name] - expected[name]) for name in punishers if name not in cheaters])
    lost_msat = sum([max(0, expected[name] - owned[name]) for name in cheaters])
    if won_msat > lost_msat:
        yield f"{', '.join(punishers)} won {won_msat} msat of cheaters, who lost {lost_msat}"
    for name, due_msat in expected.items():
        # An output is a whole number of satoshi: what is in flight when a channel closes is rounded down.
        rounding_msat = 2000 * (len(orders) + 2) if world.closes_asked else 0
        is_short = owned[name] < due_msat - fees_msat[name] - left_msat - rounding_msat and name not in cheaters
        has_more = owned[name] > due_msat and name not in punishers
        # Whoever sweeps an anchor that the other side has paid for has it.
        has_more = has_more and owned[name] > due_msat + settlement.anchors_msat(world, name)
        if is_short or has_more:
            yield f"{name} owns {owned[name]} msat, not {due_msat}: {owned[name] - due_msat} (fees {fees_msat[name]})"
    if sum(owned.values()) + left_msat != chain_msat(world):
        yield f"all own {sum(owned.values())} msat, {left_msat} is nobody's, the chain holds {chain_msat(world)}"


def _waiting(node: SimNode) -> Iterator[str]:
    """Nothing waits for anything."""
    m, outbox = node.manager, node.runtime.outbox
    if not outbox.is_idle() or node.disk.under_way():
        yield f"records wait for the store: {node.disk.under_way()}"
    for line in outbox.lines.values():
        if line.entries or line.ready:
            yield f"{len(line.entries)} messages wait"
    for tail in outbox.tails.values():
        if tail.waiting or tail.queued_bytes:
            yield f"{len(tail.waiting)} effects of {tail.journal} wait, {tail.queued_bytes} bytes"
    for what in ("claim_blockers", "verdicts", "dirty", "after_verdicts", "acks", "forwards", "events"):
        if getattr(m, what):
            yield f"{what} is not empty: {getattr(m, what)}"
    for claimable in m.claimables.values():
        yield f"a payment to us is {claimable.status.value} with {len(claimable.parts)} parts"
    for slot in m.channels.values():
        yield from (f"channel {slot.channel_id.hex()[:8]}: {what}" for what in _facts(slot))


def _facts(slot: Slot) -> Iterator[str]:
    core = slot.state.core
    if slot.halted:
        yield f"halted: {slot.halted}"
    for what in ("outcomes", "claims", "shown", "forward_events", "events"):
        if getattr(core, what):
            yield f"{what} is not empty: {getattr(core, what)}"
    yield from _queued(slot)
    if slot.peeled:
        yield f"onions are kept: {list(slot.peeled)}"


def _queued(slot: Slot) -> Iterator[str]:
    """At rest no update waits to be signed in any state, and no claim is still released for one.

    One thing may: a fee that was to change when the last HTLC went. A close is negotiated since, and it is never sent.
    """
    session = slot.state.session
    if session.queued_adds or session.queued_removals or session.queued_msat:
        yield f"updates are queued: {len(session.queued_adds)} adds, removals of {session.queued_removals}"
    if session.queued_feerate_per_kw and type(slot.state) not in (Negotiating, MutualClose):
        yield f"a feerate is queued: {session.queued_feerate_per_kw}"
    if session.released:
        yield f"HTLCs are released that are gone: {sorted(session.released)}"


def _events(node: SimNode) -> Iterator[str]:
    """An id means one event, told once in a life; no payment has two outcomes."""
    first: dict[str, ev.Event] = {}
    in_life: dict[tuple[int, str], None] = {}
    for shown in node.shown:
        event_id = shown.event.event_id
        if first.setdefault(event_id, shown.event) != shown.event and not isinstance(shown.event, ev.PaymentClaimable):
            yield f"{event_id} was told in two ways: {first[event_id]} {shown.event}"
        if (shown.life, event_id) in in_life:
            yield f"{event_id} was told twice in one life"
        in_life[(shown.life, event_id)] = None
    for event in first.values():
        is_known = node.name not in node.world.restored
        if is_known and isinstance(event, ev.PaymentSent) and f"failed/{event.payment_id.hex()}" in first:
            yield f"payment {event.payment_id.hex()[:8]} was told as sent and as failed"


def _folds(node: SimNode) -> Iterator[str]:
    """The fold of what is on the disk is the state in memory."""
    folded = rebuild.fold_journals(node.disk.journals())
    yield from (f"{journal} cannot be read: {one.reason}" for journal, one in folded.unreadable.items())
    for state in folded.channels:
        live = node.manager.channels[state.core.opened.channel_id].state
        if encode_core(state.core) != encode_core(live.core) or type(state) is not type(live):
            yield f"channel {state.core.opened.channel_id.hex()[:8]} folds to another state"
    if encode_node_snapshot(folded.node, b"") != encode_node_snapshot(node.manager.node, b""):
        yield "the node journal folds to another state"


def _again(node: SimNode) -> Iterator[str]:
    """A copy that starts from the disk finds nothing left to write (invariant P15)."""
    signer = InMemorySigner(node.seed, REGTEST)
    folded = boot.fold_store(SimStore(node.disk), signer, REGTEST)
    copy = boot.make_manager(node.config, signer, folded, node.random32)
    copy.now_seconds = node.manager.now_seconds
    copy.set_env(block_height=node.manager.env.block_height)
    rebuild.start(copy)
    copy.flush()
    copy.write_acknowledgements()
    for append in copy.outbox.take_batch():
        yield f"a restart would write {len(append.records)} records to {append.journal}"
