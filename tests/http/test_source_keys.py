import msgspec
import pytest

from twite.domain.secret import Secret
from twite.http.source_keys import SourceKeys
from twite.testing.builders import a_source


def test_a_source_is_found_by_its_key():
    shop = a_source()

    assert SourceKeys([shop]).find(b"a-source-key") == shop
    assert SourceKeys([shop]).find(b"a-source-kez") is None
    assert SourceKeys([shop]).find(b"") is None


def test_a_source_without_a_key_is_found_by_none():
    browsers = msgspec.structs.replace(a_source(), key=None)

    assert SourceKeys([browsers]).find(b"") is None


def test_two_sources_cannot_have_one_key():
    with pytest.raises(ValueError, match="shop and blog have the same key"):
        SourceKeys([a_source("shop"), a_source("blog")])


def test_a_key_may_be_any_text():
    odd = msgspec.structs.replace(a_source(), key=Secret("schlüssel"))

    assert SourceKeys([odd]).find("schlüssel".encode()) == odd
