"""Names in stored payloads and settings of tags. Names may be added, but never changed."""

import msgspec

from twite.tags.ports.tags import PersonHandling, RepeatPolicy
from twite.tags.run.payload import PayloadPerson, TagPayload


def names_of(shape):
    return {field.encode_name for field in msgspec.structs.fields(shape)}


def test_stored_tag_payload_keeps_its_field_names():
    assert names_of(TagPayload) >= {
        "pixel", "at", "identifiers", "event", "request", "client", "granted", "draw", "sealed",
    }  # fmt: skip
    assert names_of(PayloadPerson) >= {"twclid", "hashed_email", "hashed_phone_number"}


def test_stored_policies_keep_their_values():
    assert {policy.value for policy in RepeatPolicy} >= {"at_least_once", "at_most_once"}
    assert {handling.value for handling in PersonHandling} >= {"hashed", "sealed"}
