"""Fixtures of the identity tests."""

import pytest
from authentication_stage import Door


@pytest.fixture
async def api():
    return Door()
