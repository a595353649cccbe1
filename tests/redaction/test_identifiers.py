"""Which ids are identifiers of X by their form, and which contain one."""

import random

import pytest

from twite.domain.conversion import derived_id
from twite.redaction.identifiers import has_identifier, names_an_identifier

HASH = "5f" * 32
CLICK_IDS = [
    "23opevjt88psuo13lu8d020qkn",
    "26l6412g5p4iyj65a2oic2ayg2",
    "2-3k9x0abcd1efgh2ijkl3mno",
    "2-3k9x0abcd1efgh2ijkl3mnop4",
]


@pytest.mark.parametrize("id_", [HASH, HASH.upper(), *CLICK_IDS, "ada@shop.example"])
def test_id_in_the_form_of_an_identifier_is_recognized(id_):
    for spelling in (id_, f"lead-{id_}", f"{id_}_2", f"lead:{id_}/7"):
        assert names_an_identifier(spelling), spelling


@pytest.mark.parametrize(
    "id_",
    [
        "", "order-1001", "1001", "2-1001", "20261203-000123",
        HASH[:40], HASH[:32], HASH[:63], f"{HASH}0", HASH * 2,
        "9f86d081-884c-4d65-9a2f-eaa0c55ad015", "2f86d081884c7d659a2feaa0c55ad015",
        "01KBHW4ZK8T9S3XQ5V7N2M6RCD",
        "2-507f1f77bcf86cd799439011", "2-123456789012345678901234",
        "2f86d081884c7d659a2feaa0c5", "21234567890123456789012345",
        "33opevjt88psuo13lu8d020qkn", "23opevjt88psuo13lu8d020qk", "23opevjt88psuo13lu8d020qknx",
        "2-3k9x0abcd1efgh2ijkl3mn", "2-3k9x0abcd1efgh2ijkl3mnop4q5",
        "o23opevjt88psuo13lu8d020qkn", "pi_3MtwBwLkdIwHu7ix28a3tqPa",
    ],
)  # fmt: skip
def test_ordinary_id_is_no_identifier(id_):
    assert not names_an_identifier(id_)


def test_id_that_twite_derives_is_no_identifier():
    randomness = random.Random(5)
    for _ in range(5_000):
        id_ = derived_id(salt=b"salt", scope="", repeated=randomness.randbytes(8))
        assert not names_an_identifier(id_), id_


@pytest.mark.parametrize(
    ("id_", "identifiers", "has"),
    [
        ("odd-click", ["odd-click"], True),
        ("lead-ODD-click/1", ["other-one", "Odd-Click"], True),
        ("odd-clic", ["odd-click"], False),
        ("1.2.3.4", ["1.2.3.4"], True),
        ("order-1", ["order-"], False),
        ("", ["", "order-1"], False),
        ("order-1", [], False),
    ],
)
def test_id_with_an_identifier_of_its_conversion_is_found(id_, identifiers, has):
    assert has_identifier(id_, identifiers) is has
