"""Every test of the hot path runs on every implementation."""

from __future__ import annotations

import pytest
from hotpaths import IMPLEMENTATIONS, HotPath, load
from hypothesis import HealthCheck, settings

# What takes long on a machine that is busy with other things is not wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


# Of the session, because hypothesis calls a test many times with one fixture.
@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def hot(request: pytest.FixtureRequest) -> HotPath:
    """An implementation; one that is missing is an error, not a skip."""
    return load(request.param)
