"""Fixtures of the chain drivers: a service over HTTP, and a driver that talks to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leyden.regtest.service import RegtestService
from tests.drivers.chain.chain_world import ChainWorld


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RegtestService]:
    """A regtest service on a free port."""
    started = await RegtestService.start(tmp_path / "chain", user="alice", password="secret")
    yield started
    await started.stop()


@pytest.fixture
async def world(service: RegtestService) -> AsyncIterator[ChainWorld]:
    """The service with a driver."""
    made = ChainWorld(service)
    yield made
    await made.close()
