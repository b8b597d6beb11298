"""Feature bits of BOLT 9."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.wire.features import Context, Feature, FeatureVector

SUBSETS = st.lists(st.sampled_from(list(Feature)), unique=True)


def optional(*features: Feature) -> FeatureVector:
    """A vector of optional features."""
    return FeatureVector.of(mandatory=(), optional=features)


def test_bits_are_those_of_the_bolt() -> None:
    """A wrong bit asks a peer for something else; these are the ones that BOLT 9's table lists."""
    table = {
        "option_data_loss_protect": 0, "option_upfront_shutdown_script": 4, "gossip_queries": 6, "var_onion_optin": 8,
        "gossip_queries_ex": 10, "option_static_remotekey": 12, "payment_secret": 14, "basic_mpp": 16,
        "option_support_large_channel": 18, "option_anchors": 22, "option_route_blinding": 24,
        "option_shutdown_anysegwit": 26, "option_dual_fund": 28, "option_quiesce": 34, "option_attribution_data": 36,
        "option_onion_messages": 38, "option_provide_storage": 42, "option_channel_type": 44, "option_scid_alias": 46,
        "option_payment_metadata": 48, "option_zeroconf": 50, "option_simple_close": 60, "option_splice": 62,
    }  # fmt: skip
    named = {feature.bolt_name: feature.value for feature in Feature}
    assert table.items() <= named.items()
    assert all(feature.value % 2 == 0 for feature in Feature)


@given(st.binary(max_size=120))
def test_any_bytes_are_a_vector_and_encode_minimally(raw: bytes) -> None:
    """Peers send vectors of different lengths, some with leading zeros."""
    vector = FeatureVector.parse(raw)
    assert vector.encode() == raw.lstrip(b"\x00")
    assert FeatureVector.parse(vector.encode()) == vector
    assert sum(1 << bit for bit in vector.bits()) == vector.bitmap


@given(SUBSETS, SUBSETS)
def test_what_we_send_never_has_both_bits_of_a_pair(mandatory: list[Feature], others: list[Feature]) -> None:
    """BOLT 9 forbids it."""
    rest = [feature for feature in others if feature not in mandatory]
    vector = FeatureVector.of(mandatory=mandatory, optional=rest)
    assert vector.features() == tuple(f for f in Feature if f in mandatory or f in rest)
    assert all(vector.requires(feature) for feature in mandatory)
    assert not any(vector.requires(feature) for feature in rest)


def test_a_feature_in_both_lists_is_refused() -> None:
    """Which one was meant cannot be told."""
    with pytest.raises(ValueError, match="basic_mpp"):
        FeatureVector.of(mandatory=(Feature.BASIC_MPP,), optional=(Feature.BASIC_MPP,))


def test_both_bits_of_a_pair_read_as_mandatory() -> None:
    """BOLT 9, "Requirements"."""
    vector = FeatureVector.parse(b"\x03\x00\x00")
    assert vector.bits() == (16, 17)
    assert vector.requires(Feature.BASIC_MPP)
    assert vector.has(Feature.BASIC_MPP)


def test_assumed_features_are_supported_without_their_bits() -> None:
    """Newer nodes may leave them out."""
    nothing = FeatureVector()
    assert not nothing.has(Feature.OPTION_STATIC_REMOTEKEY)
    assert nothing.supports(Feature.OPTION_STATIC_REMOTEKEY)
    assert not nothing.supports(Feature.OPTION_ANCHORS)


def test_init_vectors_of_different_lengths_are_joined() -> None:
    """Old nodes put some bits into globalfeatures."""
    joined = FeatureVector.parse(b"\x02\x00").union(FeatureVector.parse(b"\x08\x00\x00\x00"))
    assert joined.bits() == (9, 27)


def test_unknown_even_bits_are_those_without_a_name() -> None:
    """An even bit that nobody here knows ends the connection; odd ones do not."""
    vector = FeatureVector(1 << 22 | 1 << 23 | 1 << 90 | 1 << 91 | 1 << 200)
    assert vector.unknown_even_bits() == (90, 200)


def test_named_features_that_we_lack_are_unsupported() -> None:
    """To know a name is not to be able to do it."""
    theirs = FeatureVector.of(
        mandatory=(Feature.OPTION_SPLICE, Feature.OPTION_ANCHORS, Feature.PAYMENT_SECRET),
        optional=(Feature.OPTION_DUAL_FUND,),
    ).union(FeatureVector(1 << 400))
    assert theirs.unsupported_even_bits(optional(Feature.OPTION_ANCHORS)) == (62, 400)
    assert theirs.unsupported_even_bits(FeatureVector.of(mandatory=theirs.features(), optional=())) == (400,)


def test_a_vector_that_fills_a_message_is_read_fast() -> None:
    """A peer chooses the length; the work must not grow with its square (it would take minutes here)."""
    vector = FeatureVector.parse(b"\xff" * 65_000)
    assert len(vector.unknown_even_bits()) > 250_000
    assert len(vector.unsupported_even_bits(FeatureVector())) > 250_000


def test_dependencies_are_transitive() -> None:
    """Later code looks at one bit only and trusts that the rest is there."""
    assert Feature.OPTION_SIMPLE_TAPROOT.dependencies == (
        Feature.OPTION_SHUTDOWN_ANYSEGWIT,
        Feature.OPTION_CHANNEL_TYPE,
        Feature.OPTION_SIMPLE_CLOSE,
    )
    lacking = optional(Feature.OPTION_SIMPLE_TAPROOT, Feature.OPTION_CHANNEL_TYPE, Feature.OPTION_SIMPLE_CLOSE)
    assert lacking.missing_dependencies() == (
        (Feature.OPTION_SIMPLE_CLOSE, Feature.OPTION_SHUTDOWN_ANYSEGWIT),
        (Feature.OPTION_SIMPLE_TAPROOT, Feature.OPTION_SHUTDOWN_ANYSEGWIT),
    )


@pytest.mark.parametrize(
    ("feature", "needed"),
    [
        (Feature.BASIC_MPP, Feature.PAYMENT_SECRET),
        (Feature.OPTION_ZEROCONF, Feature.OPTION_SCID_ALIAS),
        (Feature.OPTION_SIMPLE_CLOSE, Feature.OPTION_SHUTDOWN_ANYSEGWIT),
        (Feature.ZERO_FEE_COMMITMENTS, Feature.OPTION_CHANNEL_TYPE),
        (Feature.OPTION_ONION_MESSAGES_ONLY_CHANNELS, Feature.OPTION_ONION_MESSAGES),
    ],
)
def test_each_dependency_is_missed(feature: Feature, needed: Feature) -> None:
    """A vector that lacks one is malformed and ends the connection."""
    assert optional(feature).missing_dependencies() == ((feature, needed),)
    assert optional(feature, needed).missing_dependencies() == ()


def test_each_context_gets_only_its_features() -> None:
    """A bit in the wrong place makes an invoice or announcement invalid for others."""
    everything = FeatureVector.of(mandatory=(), optional=Feature)
    invoice = everything.restricted_to(Context.INVOICE)
    assert invoice.has(Feature.OPTION_PAYMENT_METADATA)
    assert not invoice.has(Feature.OPTION_ANCHORS)
    assert not everything.restricted_to(Context.INIT).has(Feature.KEYSEND)
    assert everything.restricted_to(Context.NODE).has(Feature.KEYSEND)
    assert everything.restricted_to(Context.CHANNEL) == FeatureVector()
    types = everything.restricted_to(Context.CHANNEL_TYPE).features()
    assert Feature.OPTION_STATIC_REMOTEKEY in types
    assert Feature.BASIC_MPP not in types
