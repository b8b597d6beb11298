"""What the manager is told, made from the configuration."""

from leyden.channel.env import ChannelLimits
from leyden.journal.records import ForwardingPolicy
from leyden.manager.config import (
    AcceptHook,
    CloseHook,
    CustomMessages,
    JusticeSink,
    ManagerConfig,
    Router,
    accept_all,
    allow_close,
    never_close,
    no_custom_messages,
)
from leyden.node.config import network_of
from leyden.node.settings import NodeConfig
from leyden.payments.routes import plan


def channel_limits(config: NodeConfig) -> ChannelLimits:
    """Return the limits of new channels."""
    channels = config.channels
    return ChannelLimits(
        max_htlc_value_in_flight_percent=channels.max_htlc_value_in_flight_percent,
        channel_reserve_percent=channels.channel_reserve_percent,
        htlc_minimum_msat=channels.htlc_minimum_msat,
        to_self_delay=channels.to_self_delay,
        to_self_delay_max=channels.to_self_delay_max,
        max_accepted_htlcs=channels.max_accepted_htlcs,
        minimum_depth=channels.minimum_depth,
        funding_satoshis_min=channels.funding_satoshis_min,
        funding_satoshis_max=channels.funding_satoshis_max,
        max_dust_htlc_exposure_msat=channels.max_dust_htlc_exposure_msat,
        unfunded_channels_per_peer=channels.unfunded_channels_per_peer,
    )


def forwarding_policy(config: NodeConfig) -> ForwardingPolicy:
    """Return what new channels ask for forwarding."""
    forwarding = config.forwarding
    return ForwardingPolicy(
        forwarding.fee_base_msat,
        forwarding.fee_proportional_millionths,
        forwarding.cltv_expiry_delta,
        forwarding.htlc_minimum_msat,
    )


def manager_config(
    config: NodeConfig,
    accept_hook: AcceptHook = accept_all,
    router: Router = plan,
    custom_messages: CustomMessages = no_custom_messages,
    justice_sink: JusticeSink | None = None,
    close_hook: CloseHook = allow_close,
) -> ManagerConfig:
    """Return the manager's configuration, with the user's own parts where given."""
    return ManagerConfig(
        network=network_of(config),
        limits=channel_limits(config),
        policy=forwarding_policy(config),
        auto_claim=config.payments.auto_claim,
        accept_keysend=config.payments.accept_keysend,
        min_final_cltv_expiry_delta=config.payments.min_final_cltv_expiry_delta,
        mpp_timeout_seconds=config.payments.mpp_timeout_seconds,
        payment_retention_seconds=config.payments.retention_seconds,
        unacknowledged_events_max=config.unacknowledged_events_max,
        accept_hook=accept_hook,
        router=router,
        custom_messages=custom_messages,
        justice_sink=justice_sink,
        justice_feerates_per_kw=config.watchtower.feerates_per_kw,
        close_hook=close_hook if config.channels.close_on_error else never_close,
    )
