"""The exact bitmaps that `channel_type` may be. BOLT 2, "The `open_channel` Message"."""

from enum import Enum
from typing import final

import msgspec

from leyden.wire.features import Feature, FeatureVector


@final
class CommitmentFormat(Enum):
    """What the commitment transactions of a channel look like; the value is its features."""

    STATIC_REMOTEKEY = (Feature.OPTION_STATIC_REMOTEKEY,)
    ANCHORS = (Feature.OPTION_STATIC_REMOTEKEY, Feature.OPTION_ANCHORS)


@final
class ChannelType(msgspec.Struct, frozen=True, gc=False):
    """A channel type: a commitment format, optionally with `option_scid_alias` and `option_zeroconf`."""

    commitment_format: CommitmentFormat
    scid_alias: bool = False
    zeroconf: bool = False

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features of the type, in ascending order of bits; all are set as mandatory."""
        features: tuple[Feature, ...] = self.commitment_format.value
        if self.scid_alias:
            features += (Feature.OPTION_SCID_ALIAS,)
        if self.zeroconf:
            features += (Feature.OPTION_ZEROCONF,)
        return features

    def encode(self) -> bytes:
        """Write the bitmap in as few bytes as hold it."""
        return FeatureVector.of(mandatory=self.features, optional=()).encode()

    def is_supported_by(self, peer: FeatureVector) -> bool:
        """Tell whether `peer` offers every feature of the type."""
        return all(peer.supports(feature) for feature in self.features)


_BY_BITMAP = {
    channel_type.encode(): channel_type
    for channel_type in (
        ChannelType(commitment_format, scid_alias, zeroconf)
        for commitment_format in CommitmentFormat
        for scid_alias in (False, True)
        for zeroconf in (False, True)
    )
}


def channel_type_from_bytes(raw: bytes) -> ChannelType | None:
    """Return the channel type that `raw` (a message's `channel_type`) is exactly, or None when this node has none such.

    None is no decoding error: the peer may want a type that we lack, and the open is refused.
    """
    return _BY_BITMAP.get(raw)
