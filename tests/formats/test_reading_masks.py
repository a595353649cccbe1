import json

import pytest
from readings import CLICK, a_source, read_bytes

from twite.domain.consent import PLAIN
from twite.formats.native.conversion import ReadContext
from twite.formats.parsed_request import Many, Native
from twite.formats.x_api.read import XConversion, XIdentifier, XRequest

CANARY = "canary-4f1d"


@pytest.mark.parametrize(
    "value",
    [
        Native(email=CANARY, twclid=CANARY, description=CANARY),
        Many(conversions=[Native(email=CANARY)]),
        XIdentifier(twclid=CANARY, ip_address=CANARY),
        XConversion(description=CANARY, event_source_url=CANARY),
        XRequest(conversions=[XConversion(description=CANARY)]),
        ReadContext(
            source=a_source(), destinations={}, now=0, salt=CANARY.encode(),
            idempotency_key=CANARY, judge=lambda *_: PLAIN, careful=False, lengthy=False,
        ),
        read_bytes(
            json.dumps(
                {"event": "purchase", "twclid": CANARY, "user_agent": CANARY, "description": CANARY}
            ).encode()
        ),
        read_bytes(json.dumps({"event": CANARY, "twclid": CLICK, "email": CANARY}).encode()),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_repr_of_a_parsed_request_hides_personal_data_and_secrets(value):
    assert CANARY not in f"{value!r} {value}"
