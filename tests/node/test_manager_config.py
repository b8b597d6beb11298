"""From settings to what the manager is told."""

from leyden.channel.env import ChannelLimits
from leyden.manager.config import CloseRequest, ManagerConfig, never_close
from leyden.node.manager_config import channel_limits, forwarding_policy, manager_config
from leyden.node.settings import (
    ChannelSettings,
    ForwardingSettings,
    NodeConfig,
    PaymentSettings,
    WatchtowerSettings,
)


def test_defaults_of_the_settings_are_those_of_the_machines() -> None:
    """Two lists of defaults that drift apart would make the documentation wrong."""
    config = NodeConfig()
    made = manager_config(config)
    assert channel_limits(config) == ChannelLimits()
    assert made == ManagerConfig(network=made.network)


def test_each_setting_arrives() -> None:
    """A limit that is set and not used is worse than none."""
    config = NodeConfig(
        channels=ChannelSettings(
            minimum_depth=7, to_self_delay=8, to_self_delay_max=9, funding_satoshis_min=1, funding_satoshis_max=2,
            channel_reserve_percent=3, htlc_minimum_msat=4, max_accepted_htlcs=5, max_htlc_value_in_flight_percent=6,
            max_dust_htlc_exposure_msat=10, unfunded_channels_per_peer=11,
        ),
        forwarding=ForwardingSettings(
            fee_base_msat=12, fee_proportional_millionths=13, cltv_expiry_delta=34, htlc_minimum_msat=15
        ),
        payments=PaymentSettings(
            auto_claim=False, accept_keysend=False, min_final_cltv_expiry_delta=20, mpp_timeout_seconds=61,
            retention_seconds=62,
        ),
        unacknowledged_events_max=1000,
        watchtower=WatchtowerSettings(feerates_per_kw=(253, 500)),
    )  # fmt: skip
    limits = channel_limits(config)
    for name in [one for one in config.channels.__struct_fields__ if one != "close_on_error"]:
        assert getattr(limits, name) == getattr(config.channels, name), name
    policy = forwarding_policy(config)
    for name in config.forwarding.__struct_fields__:
        assert getattr(policy, name) == getattr(config.forwarding, name), name
    made = manager_config(config)
    assert (made.auto_claim, made.accept_keysend, made.min_final_cltv_expiry_delta) == (False, False, 20)
    assert (made.mpp_timeout_seconds, made.payment_retention_seconds) == (61, 62)
    assert made.unacknowledged_events_max == 1000
    assert made.justice_feerates_per_kw == (253, 500)
    assert made.justice_sink is None


def test_a_node_that_never_closes_on_its_own_asks_nobody() -> None:
    """The setting is the stronger one; without it the hook of the program decides."""

    def hook(_request: CloseRequest, /) -> bool:
        return True

    assert manager_config(NodeConfig(), close_hook=hook).close_hook is hook
    keeps = NodeConfig(channels=ChannelSettings(close_on_error=False))
    assert manager_config(keeps, close_hook=hook).close_hook is never_close
