"""ShuttingDown: `shutdown` was sent or received.

Means: no HTLC is added any more; those that are there are resolved as ever.
Guaranteed: the script that we named is in the journal before it is sent, so every connection and every life names the
same one. Leaves by: the last HTLC gone and both `shutdown` exchanged (Negotiating), or as Normal does.
"""

from leyden.base.errors import CommandRejected
from leyden.base.transition import Decision
from leyden.bitcoin.script import ScriptType, classify
from leyden.channel import limits
from leyden.channel.effects import AddRefused, Effect, SendMessage
from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidShutdown, NotReestablished
from leyden.channel.inputs import StartShutdown
from leyden.channel.session import AddsRefused, Fact, ShutdownSent
from leyden.channel.states import NOTHING, ChannelDecision, LiveState
from leyden.journal.records import ShutdownReceived, ShutdownStarted
from leyden.wire.messages import Shutdown, encode

_ALWAYS = (ScriptType.P2WPKH, ScriptType.P2WSH)
_ANYSEGWIT = (ScriptType.P2TR, ScriptType.P2A, ScriptType.UNKNOWN_WITNESS)


def is_shutdown_script(script: bytes, *, anysegwit: bool) -> bool:
    """Return whether `shutdown` may name this script (BOLT 2, "Closing Initiation: `shutdown`")."""
    kind = classify(script)
    return kind in _ALWAYS or (anysegwit and kind in _ANYSEGWIT)


def on_start_shutdown(state: LiveState, event: StartShutdown, env: ChannelEnv) -> ChannelDecision:
    """The user closes the channel cooperatively.

    Raises: CommandRejected when the script is not allowed, or differs from the one promised at opening.
    Spec:   BOLT 2, "Closing Initiation: `shutdown`".
    """
    core = state.core
    if core.local_shutdown_script:
        return NOTHING
    promised = core.opened.local.upfront_shutdown_script
    if promised and event.scriptpubkey != promised:
        raise CommandRejected(
            "this channel promised another closing script when it was opened; close without an address to use that one",
            code="upfront_shutdown_script",
        )
    if not is_shutdown_script(event.scriptpubkey, anysegwit=env.anysegwit):
        raise CommandRejected(
            "the peer cannot be paid to this kind of address; give a segwit address", code="bad_closing_script"
        )
    effects: list[Effect] = [AddRefused(add, limits.CLOSING) for add in state.session.queued_adds]
    facts: list[Fact] = [AddsRefused()]
    if state.session.reestablished:
        effects.append(SendMessage(encode(Shutdown(core.opened.channel_id, event.scriptpubkey))))
        facts.append(ShutdownSent())
    return Decision((ShutdownStarted(event.scriptpubkey, event.feerate_per_kw),), tuple(facts), tuple(effects))


def on_shutdown(state: LiveState, msg: Shutdown, env: ChannelEnv) -> ChannelDecision:
    """The peer closes the channel cooperatively; answer with our script.

    Raises: InvalidShutdown.
    Spec:   BOLT 2, "Closing Initiation: `shutdown`".
    """
    core, session = state.core, state.session
    if not session.reestablished:
        raise NotReestablished("shutdown before channel_reestablish")
    if core.remote_shutdown_script:
        if core.remote_shutdown_script != msg.scriptpubkey:
            raise InvalidShutdown("shutdown with another script than before")
        return NOTHING
    promised = core.opened.remote.upfront_shutdown_script
    if promised and msg.scriptpubkey != promised:
        raise InvalidShutdown("shutdown with another script than upfront_shutdown_script")
    if not is_shutdown_script(msg.scriptpubkey, anysegwit=env.anysegwit):
        raise InvalidShutdown("shutdown with a script that is not allowed")
    if session.received_adds:
        raise InvalidShutdown("shutdown while the sender's own updates are not signed")
    local_script, feerate = b"", 0
    if not core.local_shutdown_script:
        local_script = core.opened.local.upfront_shutdown_script or env.shutdown_script_of(core.opened.channel_keys_id)
        feerate = env.closing_feerate_per_kw
    effects: list[Effect] = [AddRefused(add, limits.CLOSING) for add in session.queued_adds]
    facts: list[Fact] = [AddsRefused()]
    if not session.shutdown_sent:
        script = core.local_shutdown_script or local_script
        effects.append(SendMessage(encode(Shutdown(core.opened.channel_id, script))))
        facts.append(ShutdownSent())
    return Decision((ShutdownReceived(msg.scriptpubkey, local_script, feerate),), tuple(facts), tuple(effects))
