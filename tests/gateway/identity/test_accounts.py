"""Users and keys: which may be created, and what the audit log records."""

import pytest

from fakes import MovingClock, PlainPasswords
from memory_store.directory import MemoryDirectory
from memory_store.state import MemoryState
from store_contract.directory import a_session
from twite.domain.errors import InvalidAccountChange
from twite.domain.people.users import KeyScope, Role
from twite.gateway.identity.accounts import Accounts
from twite.gateway.identity.authentication import ApiKeyLookup, digest_of
from twite.gateway.identity.weak_passwords import refuse_weak
from twite.gateway.ports.directory import SessionBegun

PASSWORD = "a sentence that does well"


@pytest.fixture
def people():
    return MemoryDirectory(MemoryState())


@pytest.fixture
def user_accounts(people):
    return Accounts(directory=people, passwords=PlainPasswords(), clock=MovingClock())


async def add(user_accounts, name, role=Role.ADMIN, **said):
    return await user_accounts.add(
        name, role=role, password=said.pop("password", PASSWORD), pixels=None, by="test", **said
    )


async def audited_actions(people):
    return [
        (entry.audit_event.what, entry.audit_event.subject)
        for entry in await people.audit(after=0, limit=99)
    ]


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-ada", "a" * 65, "ada\n", "ädä", "../ada"])
async def test_invalid_user_name_is_refused(user_accounts, name):
    with pytest.raises(InvalidAccountChange):
        await add(user_accounts, name)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "elevenchars",
        "aaaaaaaaaaaaaaaa",
        "123412341234",
        "ada.lovelace1",
        "twite2026twite",
        "passwordpassword",
        "password123456",
        "qwertyuiop12",
        "Passw0rd2026!",
        "Summer2025!!",
        "1q2w3e4r5t6y",
        "1qaz2wsx3edc",
        "iloveyou123456",
        "welcome12345",
        "administrator1",
        "letmeinletmein",
        "987654321098",
        "abcdefghijklm",
        "changeme1234",
        "footballfootball",
        "princess2010!",
        "correcthorsebatterystaple"[:11],
        "x" * 1_025,
    ],
)
async def test_short_or_common_password_is_refused(password):
    with pytest.raises(InvalidAccountChange):
        refuse_weak(password, name="ada.lovelace")


@pytest.mark.parametrize(
    "password",
    [
        "a sentence that does well",
        "nur-kleine-buchstaben",
        "七転び八起きの人生を歩むことに",
        " leading space kept",
        "🐦🐦 finch on a wire",
    ],
)
async def test_long_password_of_any_characters_is_accepted(password):
    refuse_weak(password, name="ada")


async def test_user_names_are_unique(user_accounts):
    await add(user_accounts, "ada")

    with pytest.raises(InvalidAccountChange, match="already exists"):
        await add(user_accounts, "ada")


async def test_last_admin_cannot_be_demoted(user_accounts):
    await add(user_accounts, "ada")
    await add(user_accounts, "olga", Role.OPERATOR)

    with pytest.raises(InvalidAccountChange, match="only admin"):
        await user_accounts.remove("ada", by="test")
    with pytest.raises(InvalidAccountChange, match="only admin"):
        await user_accounts.allow("ada", role=Role.VIEWER, pixels=None, by="test")


@pytest.mark.parametrize("pixels", [[], ["o8z6j"]])
async def test_admin_must_see_all_pixels(user_accounts, pixels):
    await add(user_accounts, "grace")
    await add(user_accounts, "ada", Role.OPERATOR)

    with pytest.raises(InvalidAccountChange, match="an admin cannot be limited"):
        await user_accounts.allow("ada", role=Role.ADMIN, pixels=pixels, by="test")
    with pytest.raises(InvalidAccountChange, match="an admin cannot be limited"):
        await user_accounts.add("eve", role=Role.ADMIN, password=PASSWORD, pixels=pixels, by="test")

    roles = {user.name: user.role for user in await user_accounts.users()}
    assert roles == {"ada": Role.OPERATOR, "grace": Role.ADMIN}


async def test_change_of_role_or_password_ends_the_sessions(user_accounts, people):
    await add(user_accounts, "grace")
    await add(user_accounts, "ada")
    left = []
    for change in (
        user_accounts.allow("ada", role=Role.VIEWER, pixels=["o8z6j"], by="test"),
        user_accounts.give_password("ada", "another sentence of hers", by="test"),
        user_accounts.drop_codes("ada", by="test"),
        user_accounts.remove("ada", by="test"),
    ):
        user = await people.user("ada")
        await people.update(SessionBegun(session=a_session(), user=user))
        await change
        left.append(len(await people.sessions("ada")))

    assert left == [0, 0, 0, 0]


async def test_every_change_of_a_user_is_audited_without_passwords(user_accounts, people):
    await add(user_accounts, "ada")
    await add(user_accounts, "olga", Role.OPERATOR)
    await user_accounts.allow("olga", role=Role.VIEWER, pixels=["o8z6j"], by="ada")
    await user_accounts.give_password("olga", "another sentence of hers", by="ada")
    await user_accounts.drop_codes("olga", by="ada")
    await user_accounts.remove("olga", by="ada")
    made = await user_accounts.make_key("reports", scopes=[KeyScope.HISTORY], pixels=None, by="ada")
    await user_accounts.revoke_key(made.key.id, by="ada")

    assert await audited_actions(people) == [
        ("user.add", "ada"),
        ("user.add", "olga"),
        ("user.role", "olga"),
        ("user.password", "olga"),
        ("user.codes_off", "olga"),
        ("user.remove", "olga"),
        ("key.add", made.key.id),
        ("key.revoke", made.key.id),
    ]
    entries = repr(await people.audit(after=0, limit=99))
    assert "sentence" not in entries
    assert made.text.reveal() not in entries


async def test_api_key_is_stored_as_a_hash_and_found_until_revoked(user_accounts, people):
    made = await user_accounts.make_key(
        "reports", scopes=[KeyScope.HISTORY, KeyScope.ACCOUNTING], pixels=["o8z6j"], by="ada"
    )
    text = made.text.reveal()
    api_keys = ApiKeyLookup(people)

    found = await api_keys.find(text)
    await user_accounts.revoke_key(made.key.id, by="ada")

    assert found == made.key
    assert made.key.digest == digest_of(text)
    assert text.startswith(f"twk_{made.key.id}_")
    assert len(text) >= 43
    assert await api_keys.find(text) is None
    assert await api_keys.find(text[:-1]) is None


@pytest.mark.parametrize(
    ("scopes", "pixels"), [([], None), ([KeyScope.METRICS], ["o8z6j"]), ([KeyScope.METRICS], [])]
)
async def test_api_key_without_scopes_or_with_unknown_pixels_is_refused(
    user_accounts, scopes, pixels
):
    with pytest.raises(InvalidAccountChange):
        await user_accounts.make_key("reports", scopes=scopes, pixels=pixels, by="ada")
