"""Sign-in with authenticator codes and with recovery codes."""

import msgspec
import pytest
from authentication_stage import AUDIT_EVENT, TOTP

from twite.domain.errors import SignedOut
from twite.domain.people.users import (
    Role,
    UserAllowed,
)
from twite.domain.secret import Secret
from twite.domain.times import MINUTE, SECOND
from twite.gateway.identity.authentication import (
    LoginFailed,
    LoginSucceeded,
    digest_of,
)
from twite.gateway.identity.two_factor import TwoFactor
from twite.gateway.ports.secret_store import CODES
from twite.gateway.ports.state import SealedSecret


@pytest.mark.parametrize("what", ["begin", "end"])
async def test_expired_session_can_neither_enable_nor_disable_two_factor(api, what):
    user = await api.add(role=Role.OPERATOR)
    session_digest = digest_of(await api.token())
    factor = TwoFactor(directory=api.people, secret_store=api.secret_store, clock=api.clock)
    change = UserAllowed(name="ada", role=Role.VIEWER, pixels=None)
    await api.people.change(change, audit_event=AUDIT_EVENT)

    asked = (
        factor.begin(user, Secret(TOTP), api.code(), session_digest=session_digest)
        if what == "begin"
        else factor.end(user, session_digest=session_digest)
    )
    with pytest.raises(SignedOut):
        await asked

    assert await api.people.user("ada") == msgspec.structs.replace(user, role=Role.VIEWER)


async def test_sign_in_with_two_factor_requires_a_code(api):
    await api.with_codes()

    assert await api.try_() == LoginFailed()
    assert await api.try_(code="000000") == LoginFailed()


async def test_two_factor_code_is_accepted_once(api):
    await api.with_codes()
    await api.clock.advance(30 * SECOND)
    code = api.code()

    first, second = await api.try_(code=code), await api.try_(code=code)

    assert isinstance(first, LoginSucceeded)
    assert second == LoginFailed()


async def test_two_factor_code_of_the_setup_does_not_sign_in(api):
    await api.with_codes()

    assert await api.try_(code=api.code()) == LoginFailed()


async def test_two_factor_code_older_than_a_used_one_is_refused(api):
    await api.with_codes()
    await api.clock.advance(60 * SECOND)
    before = api.code()
    await api.clock.advance(30 * SECOND)
    await api.try_(code=api.code())

    assert await api.try_(code=before) == LoginFailed()


@pytest.mark.parametrize(("later", "does"), [(-60, False), (-30, True), (30, True), (60, False)])
async def test_clock_of_the_authenticator_may_differ_by_one_step(api, later, does):
    await api.with_codes()
    await api.clock.advance(5 * MINUTE)

    answer = await api.try_(code=api.code(later=later * SECOND))

    assert isinstance(answer, LoginSucceeded) is does


async def test_recovery_code_is_accepted_once_in_any_spelling(api):
    recovery = await api.with_codes()

    first = await api.try_(code=recovery[3].upper().replace("-", " "))
    again = await api.try_(code=recovery[3])

    assert isinstance(first, LoginSucceeded)
    assert again == LoginFailed()
    assert len((await api.people.user("ada")).recovery) == 9


async def test_two_factor_codes_are_not_stored_in_plain_text(api):
    recovery = await api.with_codes()

    kept = repr(msgspec.structs.asdict(await api.people.user("ada")))
    sealed = await api.state.load(SealedSecret, prefix=CODES)

    assert not any(code in kept or code.replace("-", "") in kept for code in recovery)
    assert all(TOTP.encode() not in secret.sealed for secret in sealed)
