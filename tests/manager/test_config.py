"""Policy that is given once, and its defaults."""

from leyden.manager.config import (
    InboundOpen,
    ManagerConfig,
    accept_all,
    allow_close,
    no_custom_messages,
)
from leyden.manager.forwarding import CLTV_EXPIRY_DELTA_MIN
from leyden.manager.onchain.deadlines import CLAIM_BLOCKS
from leyden.payments.routes import plan
from tests.manager.test_opening import ask, strangers
from tests.sim.topologies import CONFIG


def test_defaults_accept_channels_and_understand_no_custom_messages() -> None:
    """A node without configuration works with everybody and does nothing unusual."""
    assert ManagerConfig(CONFIG.network).accept_hook is accept_all
    assert ManagerConfig(CONFIG.network).close_hook is allow_close
    assert ManagerConfig(CONFIG.network).router is plan
    assert not no_custom_messages(bytes(33), 40_001, b"")


def test_default_hook_accepts() -> None:
    """An empty string is a yes."""
    seen: list[InboundOpen] = []

    def hook(request: InboundOpen) -> str:
        seen.append(request)
        return accept_all(request)

    stage = strangers(accept_hook=hook)
    ask(stage)
    stage.rest()
    assert len(seen) == 1
    assert not seen[0].trusted
    assert stage.m("bob").channels


def test_deadlines_leave_room_for_each_other() -> None:
    """A claim is refused before it could be abandoned, and invoices ask for more than both."""
    config = ManagerConfig(CONFIG.network)
    assert config.claim_deadline_blocks < config.min_final_cltv_expiry_delta - 3
    assert config.mpp_timeout_seconds >= 60
    assert config.claim_deadline_blocks > CLAIM_BLOCKS > config.claim_deadline_blocks // 2
    assert config.deadline_grace_blocks + config.fail_back_grace_blocks < CLTV_EXPIRY_DELTA_MIN
