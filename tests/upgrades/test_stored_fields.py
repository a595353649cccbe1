"""JSON in rows keeps its field names: stores of earlier releases contain them."""

import msgspec
import pytest

from twite.domain.fault import MaskedFault
from twite.domain.incoming_request import IncomingRequest
from twite.gateway.ingest.stape_proxy import SealedCredentials
from twite.gateway.x_account.credential_store import _SignedIn
from twite.stores.sql.rejections import _StoredRejection

STORED = [
    (_SignedIn, {"consumer_key", "consumer_secret", "token", "token_secret", "screen_name"}),
    (
        SealedCredentials,
        {"source", "consumer_key", "consumer_secret", "token", "token_secret", "passing"},
    ),
    (
        _StoredRejection,
        {"endpoint", "receipt", "index", "event", "conversion_id", "faults", "marks"},
    ),
    (MaskedFault, {"path", "code", "message", "value"}),
    (IncomingRequest, {"method", "path", "query", "headers", "body", "remote_address"}),
]


@pytest.mark.parametrize(
    ("shape", "fields"), STORED, ids=lambda struct: getattr(struct, "__name__", "")
)
def test_stored_json_keeps_its_field_names(shape, fields):
    assert fields <= {field.encode_name for field in msgspec.structs.fields(shape)}
