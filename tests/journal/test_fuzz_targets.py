"""The fuzz target of the store works, without a fuzzer: on what is written, on its mutations and on arbitrary bytes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.fuzz_journal import one_input
from leyden.journal.codec import encode_record
from leyden.journal.node_codec import NodeRecord, encode_node_record
from tests.journal import test_node_codec, test_wallet_records
from tests.journal.samples import SAMPLES
from tests.wire.strategies import mutated

NODE_SAMPLES: list[NodeRecord] = [*test_node_codec.SAMPLES, *test_wallet_records.SAMPLES]
WRITTEN = st.sampled_from([*map(encode_record, SAMPLES), *map(encode_node_record, NODE_SAMPLES)])


@settings(max_examples=300)
@given(st.binary(max_size=60) | WRITTEN | WRITTEN.flatmap(mutated))
def test_target_accepts_any_input(data: bytes) -> None:
    """A damaged store is said to be damaged, whatever the damage."""
    one_input(data)
