import pytest

pytest.register_assert_rewrite("twite.testing.laws")
