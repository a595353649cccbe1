"""Fields of what is kept as JSON inside a row: a store of an earlier release has these names."""

import msgspec
import pytest

from twite.domain.fault import MaskedFault
from twite.gateway.lent import Kept
from twite.gateway.logins import _OAuth
from twite.gateway.tags.letter import Letter, Person
from twite.sgtm.sandbox import Incoming
from twite.stores.sqlite.rejections import _Told

STORED = [
    (_OAuth, {"consumer_key", "consumer_secret", "token", "token_secret", "screen_name"}),
    (Kept, {"source", "consumer_key", "consumer_secret", "token", "token_secret", "passing"}),
    (_Told, {"door", "receipt", "index", "event", "conversion_id", "faults", "marks"}),
    (MaskedFault, {"path", "code", "message", "value"}),
    (
        Letter,
        {"pixel", "at", "identifiers", "event", "request", "client", "granted", "draw", "sealed"},
    ),
    (Person, {"twclid", "hashed_email", "hashed_phone_number"}),
    (Incoming, {"method", "path", "query", "headers", "body", "remote_address"}),
]


@pytest.mark.parametrize(("shape", "fields"), STORED, ids=lambda one: getattr(one, "__name__", ""))
def test_what_is_kept_as_json_has_the_fields_it_always_had(shape, fields):
    assert fields <= {field.encode_name for field in msgspec.structs.fields(shape)}
