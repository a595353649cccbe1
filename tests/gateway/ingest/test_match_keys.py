"""Which match keys of a conversion count, and the gain if an invalid one were correct."""

import hashlib

import pytest
from test_accept import AcceptStage, for_x, purchase

from builders import a_destination
from fakes import SeededRandomness
from twite.domain.stats.match_keys import MatchKeys
from twite.gateway.ingest.accept import Accept

CLICK, EMAIL, PHONE, PAIR = (
    MatchKeys.CLICK,
    MatchKeys.EMAIL,
    MatchKeys.PHONE,
    MatchKeys.IP | MatchKeys.AGENT,
)
PUBLIC = "203.0.113.7"
NUMBER = "+442079460958"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


ADDRESS = sha256("anna@shop.alt")
NOTHING = sha256("")


class EverybodyOptedOut:
    def has_opt_outs(self):
        return True

    def lists(self, keys):
        return bool(keys)


def key_counts(stage):
    """Return the match keys of the last conversion, and the codes of its lost second key."""
    submission = stage.submissions[-1]
    key_set = submission.entries[-1].key_set
    return key_set, [flaw.flaw.code for flaw in submission.flaws if flaw.wins]


@pytest.mark.parametrize(
    ("fields", "key_set", "wins"),
    [
        # A value that identifies nobody is not a match key, and removing it would not add one.
        ({"email": "noreply+7@shop.alt"}, CLICK, []),
        ({"email_sha256": sha256("noreply@example.com")}, CLICK, []),
        ({"email_sha256": sha256(NOTHING)}, CLICK, ["double_hash"]),
        # Hashed only once, the email would be a match key; next to two others it would not be the
        # second.
        ({"email": "anna@shop.alt", "email_sha256": sha256(ADDRESS)}, CLICK, ["double_hash"]),
        (
            {"email": "anna@shop.alt", "email_sha256": sha256(ADDRESS), "phone": NUMBER},
            CLICK | PHONE,
            [],
        ),
        # Both are hashed twice, and there is no other match key: the code counts only once.
        (
            {
                "twclid": None,
                "email": "anna@shop.alt",
                "email_sha256": sha256(ADDRESS),
                "phone": NUMBER,
                "phone_sha256": sha256(sha256(NUMBER)),
            },
            0,
            ["double_hash"],
        ),
        # Even if fixed, the conversion would have one match key, not two.
        (
            {"twclid": None, "email": "anna@shop.alt", "email_sha256": sha256(ADDRESS)},
            0,
            [],
        ),
        ({"phone": "12"}, CLICK, ["phone_unusable"]),
        ({"phone": "12", "email": "anna@shop.alt"}, CLICK | EMAIL, []),
        # An IP address counts only together with the user agent.
        ({"ip": "192.168.1.1"}, CLICK, []),
        ({"ip": "192.168.1.1", "user_agent": "Mozilla/5.0"}, CLICK | MatchKeys.AGENT,
         ["ip_private"]),
        # The value is fixed automatically, or is no match key at all.
        ({"email_sha256": ADDRESS.upper()}, CLICK | EMAIL, []),
        ({"twpid": "?"}, CLICK, []),
        ({"twclid": "(not set)", "email": "anna@shop.alt"}, EMAIL, ["twclid_unusable"]),
        ({"twclid": "?", "email": "anna", "ip": PUBLIC, "user_agent": "Mozilla/5.0"}, PAIR,
         ["email_unusable", "twclid_unusable"]),
    ],
)  # fmt: skip
async def test_match_key_counts_if_it_can_match_a_person(fields, key_set, wins):
    stage = AcceptStage()

    await stage.native(purchase(**fields))

    assert (key_counts(stage)[0], sorted(key_counts(stage)[1])) == (key_set, wins)


async def test_double_hash_of_an_earlier_hash_is_not_a_match_key():
    stage = AcceptStage()
    await stage.native(purchase("order-1", email_sha256=ADDRESS))

    await stage.native(purchase("order-2", email_sha256=sha256(ADDRESS)))

    assert key_counts(stage) == (CLICK, ["double_hash"])


@pytest.mark.parametrize(
    ("hashes", "key_set", "wins"),
    [
        ([NOTHING], CLICK, []),
        ([sha256("noreply@example.com")], CLICK, []),
        ([sha256(NOTHING)], CLICK, ["double_hash"]),
        # Of several values the last is sent, and here it identifies a person.
        ([sha256(NOTHING), ADDRESS], CLICK | EMAIL, []),
        ([sha256("noreply@example.com"), ADDRESS], CLICK | EMAIL, []),
        ([ADDRESS], CLICK | EMAIL, []),
    ],
)
async def test_match_keys_in_xs_format_are_counted(hashes, key_set, wins):
    stage = AcceptStage()
    emails = [{"hashed_email": hash_} for hash_ in hashes]

    await stage.from_x(for_x(identifiers=[{"twclid": "abc"}, *emails]))

    assert key_counts(stage) == (key_set, wins)


async def test_suppressed_conversion_has_no_identifier_errors():
    stage = AcceptStage()

    await stage.native(purchase(phone="12", consent={"ad_storage": "denied"}))

    assert stage.submissions[-1].flaws == ()


async def test_conversion_of_an_opted_out_person_has_no_identifier_errors():
    stage = AcceptStage()
    stage.accept = Accept(
        intake=stage,
        clock=stage.clock,
        randomness=SeededRandomness(),
        destinations={"o8z6j": a_destination()},
        salt=b"salt",
        wake=stage.woken.append,
        privacy=EverybodyOptedOut(),
    )

    await stage.from_x(for_x(identifiers=[{"twclid": "abc"}, {"hashed_email": sha256(NOTHING)}]))

    assert stage.submissions[-1].entries[0].suppressed
    assert stage.submissions[-1].flaws == ()
