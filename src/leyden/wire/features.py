"""Feature bits of BOLT 9 and the bitmaps that carry them. The table also names bits of bLIPs and drafts.

To name a bit is not to implement it: what this node offers is a `FeatureVector` made by whoever configures it.
"""

from collections.abc import Iterable
from enum import Enum, Flag, auto
from typing import Final, final

import msgspec


class Context(Flag):
    """Where a feature may appear. BOLT 9, "Requirements"."""

    INIT = auto()
    NODE = auto()
    CHANNEL = auto()
    INVOICE = auto()
    CHANNEL_TYPE = auto()
    BLINDED = auto()


_I, _N, _9, _T = Context.INIT, Context.NODE, Context.INVOICE, Context.CHANNEL_TYPE


@final
class Feature(Enum):
    """A feature, named as in BOLT 9; the value is its even (mandatory) bit, the odd (optional) one is the next."""

    OPTION_DATA_LOSS_PROTECT = 0
    OPTION_UPFRONT_SHUTDOWN_SCRIPT = 4
    GOSSIP_QUERIES = 6
    VAR_ONION_OPTIN = 8
    GOSSIP_QUERIES_EX = 10
    OPTION_STATIC_REMOTEKEY = 12
    PAYMENT_SECRET = 14
    BASIC_MPP = 16
    OPTION_SUPPORT_LARGE_CHANNEL = 18
    OPTION_ANCHOR_OUTPUTS = 20
    OPTION_ANCHORS = 22
    OPTION_ROUTE_BLINDING = 24
    OPTION_SHUTDOWN_ANYSEGWIT = 26
    OPTION_DUAL_FUND = 28
    AMP = 30
    OPTION_QUIESCE = 34
    OPTION_ATTRIBUTION_DATA = 36
    OPTION_ONION_MESSAGES = 38
    ZERO_FEE_COMMITMENTS = 40
    OPTION_PROVIDE_STORAGE = 42
    OPTION_CHANNEL_TYPE = 44
    OPTION_SCID_ALIAS = 46
    OPTION_PAYMENT_METADATA = 48
    OPTION_ZEROCONF = 50
    HOLD_HTLC = 52
    KEYSEND = 54
    TRAMPOLINE = 56
    OPTION_SIMPLE_CLOSE = 60
    OPTION_SPLICE = 62
    OPTION_ONION_MESSAGES_ONLY_CHANNELS = 66
    TAPROOT_GOSSIP_70 = 70
    TAPROOT_GOSSIP_72 = 72
    TAPROOT_GOSSIP_74 = 74
    OPTION_SIMPLE_TAPROOT = 80
    ZERO_FEE_TAPROOT_COMMITMENTS = 82
    OPTION_SIMPLE_TAPROOT_STAGING = 180
    DNS_RESOLVER = 258
    ACCOUNTABILITY = 260
    BOLT11_BLINDED_PATHS = 262
    LSPS = 728

    @property
    def bolt_name(self) -> str:
        """The name as BOLT 9 prints it."""
        return self.name.lower()

    @property
    def mandatory_mask(self) -> int:
        """Bitmap with only the even bit."""
        return 1 << self.value

    @property
    def optional_mask(self) -> int:
        """Bitmap with only the odd bit."""
        return 2 << self.value

    @property
    def contexts(self) -> Context:
        """Where the feature may appear."""
        return _CONTEXTS.get(self, _I | _N)

    @property
    def dependencies(self) -> tuple["Feature", ...]:
        """Every feature that must be set with this one, transitively, in ascending order of bits."""
        return _CLOSURES[self]

    @property
    def is_assumed(self) -> bool:
        """Whether BOLT 9 lets everybody assume it, set or not."""
        return self in _ASSUMED


_CONTEXTS: Final[dict[Feature, Context]] = {
    Feature.VAR_ONION_OPTIN: _I | _N | _9,
    Feature.OPTION_STATIC_REMOTEKEY: _I | _N | _T,
    Feature.PAYMENT_SECRET: _I | _N | _9,
    # BOLT 12 invoices offer it too; their features live in the blinded path's context.
    Feature.BASIC_MPP: _I | _N | _9 | Context.BLINDED,
    Feature.OPTION_ANCHOR_OUTPUTS: _I | _N | _T,
    Feature.OPTION_ANCHORS: _I | _N | _T,
    Feature.OPTION_ROUTE_BLINDING: _I | _N | _9,
    Feature.AMP: _I | _N | _9,
    Feature.OPTION_ATTRIBUTION_DATA: _I | _N | _9,
    Feature.ZERO_FEE_COMMITMENTS: _I | _N | _T,
    Feature.OPTION_SCID_ALIAS: _I | _N | _T,
    Feature.OPTION_PAYMENT_METADATA: _9,
    Feature.OPTION_ZEROCONF: _I | _N | _T,
    Feature.KEYSEND: _N,
    Feature.TRAMPOLINE: _I | _N | _9,
    Feature.OPTION_SIMPLE_TAPROOT: _I | _N | _T,
    Feature.ZERO_FEE_TAPROOT_COMMITMENTS: _I | _N | _T,
    Feature.OPTION_SIMPLE_TAPROOT_STAGING: _I | _N | _T,
    Feature.DNS_RESOLVER: _N,
    Feature.ACCOUNTABILITY: _N,
    Feature.BOLT11_BLINDED_PATHS: _9,
}
"""Every feature not named here appears in `init` and `node_announcement`."""

_DEPENDENCIES: Final[dict[Feature, tuple[Feature, ...]]] = {
    Feature.BASIC_MPP: (Feature.PAYMENT_SECRET,),
    Feature.ZERO_FEE_COMMITMENTS: (Feature.OPTION_CHANNEL_TYPE,),
    Feature.OPTION_ZEROCONF: (Feature.OPTION_SCID_ALIAS,),
    Feature.OPTION_SIMPLE_CLOSE: (Feature.OPTION_SHUTDOWN_ANYSEGWIT,),
    Feature.OPTION_ONION_MESSAGES_ONLY_CHANNELS: (Feature.OPTION_ONION_MESSAGES,),
    Feature.OPTION_SIMPLE_TAPROOT: (Feature.OPTION_CHANNEL_TYPE, Feature.OPTION_SIMPLE_CLOSE),
    Feature.OPTION_SIMPLE_TAPROOT_STAGING: (Feature.OPTION_CHANNEL_TYPE, Feature.OPTION_SIMPLE_CLOSE),
}

_ASSUMED: Final = (
    Feature.OPTION_DATA_LOSS_PROTECT,
    Feature.VAR_ONION_OPTIN,
    Feature.OPTION_STATIC_REMOTEKEY,
    Feature.PAYMENT_SECRET,
    Feature.OPTION_CHANNEL_TYPE,
)


def _closure(feature: Feature) -> tuple[Feature, ...]:
    found: dict[Feature, None] = {}
    waiting = list(_DEPENDENCIES.get(feature, ()))
    while waiting:
        needed = waiting.pop()
        if needed not in found:
            found[needed] = None
            waiting += _DEPENDENCIES.get(needed, ())
    return tuple(sorted(found, key=lambda needed: needed.value))


_CLOSURES: Final = {feature: _closure(feature) for feature in Feature}
_NAMED: Final = sum(feature.mandatory_mask | feature.optional_mask for feature in Feature)


def _set_bits(bitmap: int) -> tuple[int, ...]:
    # By bytes, low ones first: clearing the lowest bit of a 65 kB integer each time would be quadratic.
    octets = bitmap.to_bytes((bitmap.bit_length() + 7) >> 3, "little")
    return tuple(8 * place + bit for place, octet in enumerate(octets) if octet for bit in range(8) if octet >> bit & 1)


@final
class FeatureVector(msgspec.Struct, frozen=True, gc=False):
    """A feature bitmap; bit n of `bitmap` is feature bit n.

    What a peer sent may hold both bits of a pair: that reads as mandatory. What `of` builds never does.
    """

    bitmap: int = 0

    @classmethod
    def of(cls, *, mandatory: Iterable[Feature], optional: Iterable[Feature]) -> "FeatureVector":
        """Build a vector to be sent. Raises: ValueError when a feature is in both lists."""
        even = 0
        for feature in mandatory:
            even |= feature.mandatory_mask
        odd = 0
        for feature in optional:
            odd |= feature.optional_mask
            if even & feature.mandatory_mask:
                raise ValueError(f"{feature.bolt_name} is both mandatory and optional")
        return cls(even | odd)

    @classmethod
    def parse(cls, raw: bytes) -> "FeatureVector":
        """Read a big-endian bitmap of any length; every byte string is one."""
        return cls(int.from_bytes(raw, "big"))

    def encode(self) -> bytes:
        """Write the bitmap big-endian in as few bytes as hold it (none for no features)."""
        return self.bitmap.to_bytes((self.bitmap.bit_length() + 7) >> 3, "big")

    def has(self, feature: Feature) -> bool:
        """Tell whether either bit of the feature is set."""
        return bool(self.bitmap & (feature.mandatory_mask | feature.optional_mask))

    def requires(self, feature: Feature) -> bool:
        """Tell whether the feature's mandatory bit is set, with or without the optional one."""
        return bool(self.bitmap & feature.mandatory_mask)

    def supports(self, feature: Feature) -> bool:
        """Tell whether the sender can do it: a bit is set, or BOLT 9 lets everybody assume it."""
        return self.has(feature) or feature.is_assumed

    def union(self, other: "FeatureVector") -> "FeatureVector":
        """Combine, as a receiver of `init` does with `globalfeatures` and `features` of any lengths."""
        return FeatureVector(self.bitmap | other.bitmap)

    def restricted_to(self, context: Context) -> "FeatureVector":
        """Keep only named features that may appear in `context`: the vector to be sent there."""
        kept = 0
        for feature in Feature:
            if context in feature.contexts:
                kept |= feature.mandatory_mask | feature.optional_mask
        return FeatureVector(self.bitmap & kept)

    def features(self) -> tuple[Feature, ...]:
        """Return the named features that are set, in ascending order of bits."""
        return tuple(feature for feature in Feature if self.has(feature))

    def bits(self) -> tuple[int, ...]:
        """Return every set bit, named or not, in ascending order."""
        return _set_bits(self.bitmap)

    def unknown_even_bits(self) -> tuple[int, ...]:
        """Return the even bits set that the table does not name, in ascending order."""
        return _set_bits(self.bitmap & ~_NAMED & _even_mask(self.bitmap))

    def unsupported_even_bits(self, ours: "FeatureVector") -> tuple[int, ...]:
        """Return the even bits set of which `ours` has neither bit of the pair: reasons not to connect or pay.

        Features that BOLT 9 lets everybody assume are supported.
        """
        even = _even_mask(self.bitmap | ours.bitmap)
        can_do = (ours.bitmap | ours.bitmap >> 1) & even
        for feature in _ASSUMED:
            can_do |= feature.mandatory_mask
        return _set_bits(self.bitmap & even & ~can_do)

    def missing_dependencies(self) -> tuple[tuple[Feature, Feature], ...]:
        """Return (feature that is set, feature it needs that is not), for all transitive needs.

        Source: BOLT 9, "Requirements".
        """
        return tuple(
            (feature, needed)
            for feature in Feature
            if self.has(feature)
            for needed in feature.dependencies
            if not self.has(needed)
        )


def _even_mask(bitmap: int) -> int:
    return int.from_bytes(b"\x55" * ((bitmap.bit_length() + 7) >> 3), "big")
