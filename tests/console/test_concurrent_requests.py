"""Two concurrent requests: a request in progress does not undo an admin's change."""

import asyncio

import pytest
import pytest_asyncio
from console_stage import PASSWORD, ConsoleStage

from fakes import HeldPasswords
from twite.app.store_access import open_staff
from twite.domain.people.users import Role

pytestmark = pytest.mark.asyncio

ANOTHER = "another sentence of hers"
PEOPLE = {"ada": (Role.ADMIN, None), "eve": (Role.ADMIN, None)}
# Eve's racing requests: where they are held, the path, and the form.
RACES = {
    "codes off": ("verify", "/console/account/codes/off", {"password": PASSWORD}),
    "her password": (
        "hash",
        "/console/account/password",
        {"password": PASSWORD, "new": ANOTHER, "again": ANOTHER},
    ),
    "her role": (
        "verify",
        "/console/people/users/eve/role",
        {"own": PASSWORD, "role": "admin", "sees": "all"},
    ),
    "a friend": (
        "hash",
        "/console/people",
        {"own": PASSWORD, "name": "mallory", "role": "admin", "sees": "all", "new": ANOTHER},
    ),
    "the other's password": (
        "hash",
        "/console/people/users/ada/password",
        {"own": PASSWORD, "new": ANOTHER},
    ),
    "a key": (
        "verify",
        "/console/people/keys",
        {"own": PASSWORD, "name": "mine", "scope": "history", "sees": "all"},
    ),
}
# Ada's changes to eve meanwhile.
CHANGES = {
    "demoted": ("/console/people/users/eve/role", {"role": "viewer", "sees": "all"}),
    "removed": ("/console/people/users/eve/remove", {}),
    "given another password": (
        "/console/people/users/eve/password",
        {"new": "a sentence that ada knows"},
    ),
}


@pytest_asyncio.fixture
async def stage(tmp_path):
    stage = ConsoleStage(tmp_path, passwords=HeldPasswords())
    await stage.start(people=PEOPLE)
    yield stage
    await stage.stop()


async def users_and_keys(stage):
    """Return the users and the keys in the store."""
    async with open_staff(stage.settings) as user_accounts:
        return {user.name: user for user in await user_accounts.users()}, list(
            await user_accounts.keys()
        )


@pytest.mark.parametrize("audit_event", CHANGES)
@pytest.mark.parametrize("race", RACES)
async def test_request_of_a_user_changed_meanwhile_is_refused(stage, race, audit_event):
    ada, eve = await stage.signed_in("ada"), await stage.signed_in("eve")
    where, path, form = RACES[race]
    stage.passwords.hold(where)
    in_progress = asyncio.create_task(eve.post(path, form))
    await stage.passwords.arrived()

    done = await ada.post(CHANGES[audit_event][0], {"own": PASSWORD, **CHANGES[audit_event][1]})
    after = await users_and_keys(stage)
    stage.passwords.let_go()
    answer = await in_progress

    assert done.status == 303
    assert (answer.status, "You have been signed out" in answer.text) == (401, True)
    assert await users_and_keys(stage) == after
    assert after[0].keys() <= {"ada", "eve"}
    assert (await eve.get("/console/account")).status == 303


@pytest.mark.parametrize("audit_event", ["removed", "given another password"])
async def test_user_locked_out_during_a_sign_in_is_not_signed_in(stage, audit_event):
    ada, eve = await stage.signed_in("ada"), stage.browser()
    stage.passwords.hold("verify")
    in_progress = asyncio.create_task(eve.sign_in("eve"))
    await stage.passwords.arrived()

    await ada.post(CHANGES[audit_event][0], {"own": PASSWORD, **CHANGES[audit_event][1]})
    stage.passwords.let_go()
    answer = await in_progress

    assert answer.status == 403
    assert "twite" not in answer.cookies


async def test_two_admins_demoting_each_other_leave_one_admin(stage):
    ada, eve = await stage.signed_in("ada"), await stage.signed_in("eve")
    stage.passwords.hold("verify", times=2)
    form = {"own": PASSWORD, "role": "viewer", "sees": "all"}
    both = [
        asyncio.create_task(ada.post("/console/people/users/eve/role", form)),
        asyncio.create_task(eve.post("/console/people/users/ada/role", form)),
    ]
    await stage.passwords.arrived(2)

    stage.passwords.let_go()
    await asyncio.gather(*both)

    users, _ = await users_and_keys(stage)
    assert sorted(user.role for user in users.values()) == [Role.ADMIN, Role.VIEWER]


async def test_two_commands_demoting_the_admins_leave_one_admin(stage):
    async with open_staff(stage.settings) as user_accounts:
        answers = await asyncio.gather(
            *(
                user_accounts.allow(name, role=Role.VIEWER, pixels=None, by="test")
                for name in ("ada", "eve")
            ),
            return_exceptions=True,
        )

    users, _ = await users_and_keys(stage)
    assert sorted(user.role for user in users.values()) == [Role.ADMIN, Role.VIEWER]
    assert [str(answer) for answer in answers if answer is not None] == [
        f"{name} is the only admin: make another user admin first"
        for name, user in users.items()
        if user.role is Role.ADMIN
    ]
