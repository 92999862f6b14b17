"""The shipped system's production, for tests that have no system of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mainstay.inventory import Environment, Host
from tests.plan.systems import issued


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """With every secret made."""
    with pytest.MonkeyPatch.context() as patch:
        yield issued(tmp_path_factory.mktemp("project"), patch)


@pytest.fixture(scope="module")
def db(env: Environment) -> Host:
    return env.hosts["eai-db-1"]
