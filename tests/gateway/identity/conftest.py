"""Fixtures of the identity tests."""

import pytest
from authentication_stage import AuthenticationStage


@pytest.fixture
async def api():
    return AuthenticationStage()
