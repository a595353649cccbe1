"""Sign-in, expiry of sessions and sign-out, with a fake clock."""

import asyncio

import pytest
from authentication_stage import AUDIT_EVENT, PASSWORD

from twite.domain.errors import SignedOut
from twite.domain.people.users import (
    PasswordSet,
    Result,
    Role,
    UserAllowed,
    UserRemoved,
)
from twite.domain.secret import Secret
from twite.domain.times import MINUTE, SECOND
from twite.gateway.identity.authentication import (
    LoginFailed,
    LoginSucceeded,
    digest_of,
)


async def test_session_token_is_new_each_time_and_stored_as_a_hash(api):
    await api.add()

    first, second = await api.token(), await api.token()

    kept = {session.digest for session in await api.people.sessions("ada")}
    assert first != second
    assert len(first) == 43
    assert kept == {digest_of(first), digest_of(second)}


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "another sentence"),
        ("ada", ""),
        ("ada", PASSWORD + " "),
        ("ada", PASSWORD.upper()),
        ("nobody", PASSWORD),
        ("not a name!", PASSWORD),
        ("ada", "x" * 1_025),
    ],
)
async def test_failed_sign_in_has_one_message_and_checks_one_password(api, name, password):
    await api.add()

    answer = await api.try_(name, password)

    assert answer == LoginFailed()
    assert api.passwords.verified == 1
    assert list(await api.people.sessions("ada")) == []


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_first_sign_in_takes_as_long_for_unknown_users(api, name):
    await api.add()

    await api.try_(name)

    assert (api.passwords.hashed, api.passwords.verified) == (1, 1)


async def test_password_in_the_field_for_the_name_is_not_audited(api):
    await api.try_(name="My Secret Sentence!")

    entries = await api.people.audit(limit=9)

    assert [(entry.audit_event.who, entry.audit_event.what) for entry in entries] == [
        ("(no name)", "sign_in.refused")
    ]


async def test_session_ends_after_30_minutes_of_inactivity(api):
    await api.add()
    token = await api.token()

    await api.clock.advance(29 * MINUTE)
    still = await api.authentication.inside(token)
    await api.clock.advance(29 * MINUTE)
    used = await api.authentication.inside(token)
    await api.clock.advance(30 * MINUTE)
    over = await api.authentication.inside(token)

    assert (still is not None, used is not None, over) == (True, True, None)
    assert list(await api.people.sessions("ada")) == []


async def test_session_ends_after_twelve_hours(api):
    await api.add()
    token = await api.token()

    for _ in range(12 * 3 - 1):
        await api.clock.advance(20 * MINUTE)
        assert await api.authentication.inside(token) is not None
    await api.clock.advance(20 * MINUTE)

    assert await api.authentication.inside(token) is None


async def test_session_of_a_removed_user_has_ended(api):
    await api.add(role=Role.VIEWER)
    token = await api.token()

    await api.people.change(UserRemoved(name="ada"), audit_event=AUDIT_EVENT)

    assert await api.authentication.inside(token) is None


async def test_renewed_session_has_a_new_token_and_the_old_one_ends(api):
    await api.add()
    token = await api.token()
    inside = await api.authentication.inside(token)

    renewed = (await api.authentication.renew(inside)).reveal()

    assert await api.authentication.inside(token) is None
    again = await api.authentication.inside(renewed)
    assert again.session.begun_at == inside.session.begun_at


@pytest.mark.parametrize(
    "change",
    [
        UserAllowed(name="ada", role=Role.VIEWER, pixels=None),
        PasswordSet(name="ada", password=Secret("plain:another"), at=0),
        UserRemoved(name="ada"),
    ],
)
async def test_ended_session_cannot_be_renewed(api, change):
    await api.add(role=Role.OPERATOR)
    inside = await api.authentication.inside(await api.token())
    await api.people.change(change, audit_event=AUDIT_EVENT)

    with pytest.raises(SignedOut):
        await api.authentication.renew(inside)

    assert list(await api.people.sessions("ada")) == []


async def test_old_password_does_not_confirm_an_action(api):
    await api.add()
    inside = await api.authentication.inside(await api.token())
    given = PasswordSet(
        name="ada", password=Secret("plain:another"), at=0, but=inside.session.digest
    )
    await api.people.change(given, audit_event=AUDIT_EVENT)

    with pytest.raises(SignedOut):
        await api.authentication.confirms(inside, PASSWORD, "203.0.113.7")


async def test_wrong_password_in_a_session_is_audited(api):
    await api.add()
    inside = await api.authentication.inside(await api.token())

    wrong = await api.authentication.confirms(inside, "another sentence", "203.0.113.7")
    right = await api.authentication.confirms(inside, PASSWORD, "203.0.113.7")

    (last, before) = await api.people.audit(limit=2)
    assert (wrong, right) == (False, True)
    assert (last.audit_event.who, last.audit_event.what, last.audit_event.detail) == (
        "ada",
        "confirm.refused",
        "203.0.113.7",
    )
    assert before.audit_event.what == "sign_in"


async def test_sign_out_everywhere_keeps_the_current_session(api):
    await api.add()
    here, elsewhere = await api.token(), await api.token()

    ended = await api.authentication.leave_everywhere(await api.authentication.inside(here))

    assert ended == 1
    assert await api.authentication.inside(here) is not None
    assert await api.authentication.inside(elsewhere) is None


async def test_each_wrong_password_after_five_doubles_the_wait(api):
    await api.add()
    for _ in range(5):
        await api.try_(password="wrong")

    waits = []
    for _ in range(4):
        refused = await api.try_(password="wrong")
        waits.append(refused.wait)
        await api.clock.advance(refused.wait * SECOND)
        await api.try_(password="wrong")

    assert waits == [1, 2, 4, 8]


async def test_right_password_is_accepted_after_the_wait(api):
    await api.add()
    for _ in range(6):
        await api.try_(password="wrong")
    early = await api.try_()
    await api.clock.advance(15 * MINUTE)

    assert early.wait > 0
    assert isinstance(await api.try_(), LoginSucceeded)


async def test_ten_thousand_wrong_passwords_cause_few_password_checks(api):
    await api.add()

    for number in range(10_000):
        await api.try_(password=f"guess {number}", address=f"198.51.100.{number % 250}")

    assert api.passwords.verified <= 50


async def test_addresses_of_one_ipv6_network_count_as_one(api):
    await api.add()

    for number in range(200):
        await api.try_(password=f"guess {number}", address=f"2001:db8:1:2::{number:x}")
    elsewhere = await api.try_(address="2001:db8:1:3::1")

    assert api.passwords.verified == 6
    assert isinstance(elsewhere, LoginSucceeded)


async def test_simultaneous_wrong_passwords_are_counted(api):
    await api.add()

    await asyncio.gather(*(api.try_(password=f"guess {number}") for number in range(500)))

    assert api.passwords.verified == 5


async def test_repeated_successful_sign_ins_are_not_limited(api):
    await api.add()

    answers = [await api.try_() for _ in range(60)]

    assert all(isinstance(answer, LoginSucceeded) for answer in answers)


async def test_sign_ins_with_many_names_from_one_address_are_limited(api):
    for number in range(200):
        await api.try_(name=f"user{number}")

    assert api.passwords.verified <= 20


async def test_outdated_password_hash_is_renewed_at_the_next_sign_in(api):
    await api.add(password=Secret(f"former:{PASSWORD}"))

    await api.token()

    assert (await api.people.user("ada")).password == Secret(f"plain:{PASSWORD}")


async def test_console_is_open_once_there_is_an_admin(api):
    nobody = await api.authentication.is_open()
    await api.add("vic", role=Role.VIEWER)
    await api.add("olga", role=Role.OPERATOR)
    # An earlier store may contain a user like this, who is no longer an admin.
    await api.add("former", pixels=("o8z6j",))
    others = await api.authentication.is_open()
    await api.add()

    assert (nobody, others, await api.authentication.is_open()) == (False, False, True)


@pytest.mark.parametrize(
    "change", [UserRemoved(name="ada"), UserAllowed(name="ada", role=Role.OPERATOR, pixels=None)]
)
async def test_console_stays_open_because_the_last_admin_cannot_be_removed(api, change):
    await api.add()
    await api.add("grace")
    await api.people.change(UserRemoved(name="grace"), audit_event=AUDIT_EVENT)

    result = await api.people.change(change, audit_event=AUDIT_EVENT)

    assert result is Result.LAST
    assert any(user.is_admin for user in await api.people.users())
    assert await api.authentication.is_open()
