"""Fixtures of the tests of identity."""

import pytest
from authentication_stage import Door


@pytest.fixture
async def api():
    return Door()
