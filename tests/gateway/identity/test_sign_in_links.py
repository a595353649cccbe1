"""Links that sign in once, with a fake clock."""

import asyncio

import pytest
from authentication_stage import AUDIT_EVENT

from twite.domain.errors import InvalidAccountChange
from twite.domain.people.users import PasswordSet, Role, UserRemoved
from twite.domain.secret import Secret
from twite.domain.times import DAY, MINUTE
from twite.gateway.identity.accounts import Accounts
from twite.gateway.identity.authentication import LoginFailed, LoginSucceeded


@pytest.fixture
def accounts(api):
    return Accounts(directory=api.people, passwords=api.passwords, clock=api.clock)


def use(api, token):
    return api.authentication.use_link(token, address="203.0.113.7", agent="a browser")


async def made(accounts, name="ada"):
    return (await accounts.make_link(name, by="grace")).reveal()


async def test_link_signs_in_once(api, accounts):
    await api.add()
    token = await made(accounts)

    first, second = await use(api, token), await use(api, token)

    assert isinstance(first, LoginSucceeded)
    assert (await api.authentication.inside(first.token.reveal())).user.name == "ada"
    assert second == LoginFailed()


async def test_only_one_of_concurrent_uses_of_a_link_signs_in(api, accounts):
    await api.add()
    token = await made(accounts)

    used = await asyncio.gather(*(use(api, token) for _ in range(5)))

    assert [isinstance(result, LoginSucceeded) for result in used].count(True) == 1


async def test_link_works_for_15_minutes(api, accounts):
    await api.add()
    early, late = await made(accounts), await made(accounts)

    await api.clock.advance(15 * MINUTE - 1)
    in_time = await use(api, early)
    await api.clock.advance(1)

    assert isinstance(in_time, LoginSucceeded)
    assert await api.authentication.user_of_link(late) is None
    assert await use(api, late) == LoginFailed()


@pytest.mark.parametrize(
    "change",
    [UserRemoved(name="ada"), PasswordSet(name="ada", password=Secret("plain:other"), at=1)],
    ids=repr,
)
async def test_link_ends_with_the_sessions_of_its_user(api, accounts, change):
    await api.add(role=Role.VIEWER)
    token = await made(accounts)

    await api.people.change(change, audit_event=AUDIT_EVENT)

    assert await use(api, token) == LoginFailed()


async def test_token_of_a_link_is_no_token_of_a_session_and_is_not_stored(api, accounts):
    await api.add()
    token = await made(accounts)

    [kept] = await api.people.sessions("ada")

    assert await api.authentication.inside(token) is None
    assert token.encode() not in kept.digest


async def test_token_of_a_session_is_no_link(api):
    await api.add()

    assert await use(api, await api.token()) == LoginFailed()


async def test_link_and_its_use_are_audited_without_the_token(api, accounts):
    await api.add()
    token = await made(accounts)
    await use(api, token)

    entries = [entry.audit_event for entry in await api.people.audit(limit=2)]

    assert [(entry.who, entry.what, entry.subject, entry.detail) for entry in entries] == [
        ("ada", "sign_in", "", "203.0.113.7, by a link"),
        ("grace", "user.link", "ada", ""),
    ]


async def test_user_with_codes_has_no_links(api, accounts):
    await api.with_codes()

    with pytest.raises(InvalidAccountChange, match="which a link would bypass"):
        await accounts.make_link("ada", by="grace")


async def test_unknown_user_has_no_link(accounts):
    with pytest.raises(InvalidAccountChange, match="no user 'ada'"):
        await accounts.make_link("ada", by="grace")


async def test_clients_link_works_until_its_end_despite_other_sign_ins(api, accounts):
    await api.add()
    early, late = [
        (
            await accounts.make_client_link(
                "acme", pixels=["o8z6j"], lasts=7 * DAY, by="grace", session_digest=b""
            )
        ).reveal()
        for _ in range(2)
    ]

    await api.clock.advance(7 * DAY - 1)
    await api.token()  # deletes old sessions
    in_time = await use(api, early)
    await api.clock.advance(1)

    assert isinstance(in_time, LoginSucceeded)
    assert in_time.viewer.role is Role.VIEWER
    assert in_time.viewer.pixels == frozenset({"o8z6j", "test:o8z6j"})
    assert await use(api, late) == LoginFailed()


async def test_clients_session_ends_like_any_other(api, accounts):
    token = await accounts.make_client_link(
        "acme", pixels=["o8z6j"], lasts=7 * DAY, by="grace", session_digest=b""
    )
    session = await use(api, token.reveal())

    await api.clock.advance(31 * MINUTE)

    assert await api.authentication.inside(session.token.reveal()) is None
