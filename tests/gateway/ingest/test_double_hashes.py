"""A value that was hashed twice is recognized if the single hash was seen before."""

import hashlib

import msgspec
import pytest
from test_accept import AcceptStage, for_x, purchase

from builders import a_conversion
from twite.domain.conversion import Identifiers
from twite.gateway.ingest.flaws import DoubleHashFilter


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


EMAIL = sha256("anna@shop.alt")
TWICE = sha256(EMAIL)


def found(stage, place=-1):
    return [
        (flaw.index, flaw.flaw.code, flaw.flaw.path, flaw.flaw.shape)
        for flaw in stage.submissions[place].flaws
    ]


@pytest.mark.parametrize(
    "double",
    [sha256(EMAIL), sha256(EMAIL.upper()), hashlib.sha256(bytes.fromhex(EMAIL)).hexdigest()],
)
async def test_hash_of_an_earlier_hash_is_a_double_hash(double):
    stage = AcceptStage()
    await stage.native(purchase("order-1", email_sha256=EMAIL))

    await stage.native(purchase("order-2", email_sha256=double))

    assert found(stage, 0) == []
    assert found(stage) == [(0, "double_hash", "email_sha256", "")]


@pytest.mark.parametrize("how", [{"email": "Anna@shop.alt"}, {"email": EMAIL}])
async def test_email_or_its_hash_reveals_a_double_hash(how):
    stage = AcceptStage()
    await stage.native(purchase("order-0", phone_sha256=sha256("+442079460958")))
    await stage.native(purchase("order-1", **how))

    await stage.native(purchase("order-2", email=TWICE))

    assert found(stage) == [(0, "double_hash", "email_sha256", "")]


async def test_double_hash_is_found_within_one_request_and_in_xs_format():
    stage = AcceptStage()

    await stage.from_x(
        for_x("order-1", identifiers=[{"hashed_phone_number": sha256("+442079460958")}]),
        for_x("order-2", identifiers=[{"hashed_phone_number": sha256(sha256("+442079460958"))}]),
    )

    assert found(stage) == [(1, "double_hash", "phone_sha256", "")]


async def test_double_hash_revealed_by_an_email_is_counted_once():
    stage = AcceptStage()
    await stage.native(purchase("order-1", email_sha256=EMAIL))

    await stage.native(purchase("order-2", email="anna@shop.alt", email_sha256=TWICE))

    assert [flaw[1] for flaw in found(stage)] == ["double_hash"]


async def test_hash_at_another_pixel_does_not_reveal_a_double_hash():
    stage = AcceptStage()
    await stage.native(purchase("order-1", email_sha256=EMAIL))

    await stage.native(purchase("order-2", pixel="p2", email_sha256=TWICE))

    assert found(stage) == []


async def test_hash_of_a_denied_conversion_is_not_remembered():
    stage = AcceptStage()
    await stage.native(purchase("order-0", email_sha256=sha256("ben@shop.alt")))
    no = {"ad_storage": "denied"}
    await stage.native(purchase("order-1", email_sha256=EMAIL, consent=no))

    await stage.native(purchase("order-2", email_sha256=TWICE))

    assert found(stage) == []


def with_hash(digest):
    identifiers = Identifiers(email=digest)
    conversion = msgspec.structs.replace(a_conversion(), identifiers=identifiers)
    return [(0, conversion, True, False)]


def test_remembered_hashes_are_limited_and_include_the_latest():
    doubles = DoubleHashFilter(slots=64)
    people = [sha256(str(number)) for number in range(500)]
    for digest in people:
        doubles.among(with_hash(digest))

    known = [bool(doubles.among(with_hash(sha256(digest)))) for digest in reversed(people[-16:])]

    assert known[0]
    assert not all(known)
