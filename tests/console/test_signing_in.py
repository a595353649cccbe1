"""Sign-in over HTTP: closed until there is an admin, and the browser's cookies."""

import re

import pyotp
import pytest
from console_stage import PASSWORD, ConsoleStage

from twite.app.store_access import open_staff
from twite.domain.people.users import Role
from twite.machine.seal import Argon2Passwords

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "people",
    [{}, {"vic": (Role.VIEWER, None), "olga": (Role.OPERATOR, ["o8z6j"])}],
    ids=["nobody", "no admin"],
)
async def test_console_without_an_admin_is_closed_with_instructions(tmp_path, people):
    stage = ConsoleStage(tmp_path, passwords=Argon2Passwords())
    await stage.start(people=people)
    try:
        visitor = stage.browser()
        answers = [
            await visitor.get(path)
            for path in ("/console", "/console/sign-in", "/console/people", "/console/people/audit")
        ]
        answers.append(await visitor.sign_in("vic"))
        async with open_staff(stage.settings) as user_accounts:
            await user_accounts.add(
                "ada", role=Role.ADMIN, password=PASSWORD, pixels=None, by="test"
            )
        afterwards = await visitor.sign_in("ada")
    finally:
        await stage.stop()

    assert afterwards.status == 303
    assert {answer.status for answer in answers} == {403}
    assert all("twite user add NAME --role admin" in answer.text for answer in answers)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong but long enough"),
        ("nobody", PASSWORD),
        ("admin", "admin"),
        ("twite", "twite"),
    ],
)
async def test_wrong_password_and_wrong_name_get_the_same_message(stage, name, password):
    answer = await stage.browser().sign_in(name, password)

    assert answer.status == 403
    assert "The name, the password or the code is wrong. For security, the console" in answer.text
    assert "twite" not in answer.cookies


async def test_sign_in_sets_a_new_token_in_an_http_only_cookie(stage):
    visitor = stage.browser()
    await visitor.get("/console/sign-in")
    visitor.cookies["twite"] = "a" * 43

    answer = await visitor.post(
        "/console/sign-in", {"name": "olga", "password": PASSWORD, "next": "/console/pixels"}
    )

    morsel = answer.cookies["twite"]
    assert (answer.status, answer.location) == (303, "/console/pixels")
    assert (len(morsel.value), morsel["httponly"], morsel["samesite"]) == (43, True, "lax")
    assert morsel.value != "a" * 43
    assert morsel["max-age"] == morsel["expires"] == ""


async def test_second_sign_in_ends_the_previous_session(stage):
    visitor = await stage.signed_in("olga")
    before = visitor.cookies["twite"]
    await visitor.post("/console/sign-in", {"name": "olga", "password": PASSWORD})
    other = stage.browser()
    other.cookies["twite"] = before

    assert visitor.cookies["twite"] != before
    assert (await other.get("/console/account")).status == 303


async def link_of(stage, name):
    async with open_staff(stage.settings) as user_accounts:
        return f"/console/link/{(await user_accounts.make_link(name, by='test')).reveal()}"


async def test_link_signs_in_once_after_a_confirmation(stage):
    link, visitor = await link_of(stage, "olga"), stage.browser()

    asked = [await visitor.get(link) for _ in range(2)]
    opened = await visitor.post(link)
    again = [await stage.browser().get(link), await stage.browser().post(link)]

    assert [page.status for page in asked] == [200, 200]
    assert "signs you in as <strong>olga</strong>, once" in asked[0].text
    assert (opened.status, opened.location) == (303, "/console")
    assert (await visitor.get("/console/account")).status == 200
    assert [page.status for page in again] == [403, 403]
    assert "works once, and only for a limited time" in again[0].text


async def test_link_signs_nobody_in_from_another_site(stage):
    link = await link_of(stage, "olga")

    refused = await stage.browser().post(link, headers={"Origin": "https://evil.example"})
    opened = await stage.browser().post(link)

    assert (refused.status, opened.status) == (403, 303)


async def test_sign_out_ends_the_session_on_the_server(stage):
    visitor = await stage.signed_in("olga")
    token = visitor.cookies["twite"]

    answer = await visitor.post("/console/sign-out")

    visitor.cookies["twite"] = token
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert (await visitor.get("/console/account")).status == 303


async def test_password_change_ends_other_sessions_and_renews_the_current_one(stage):
    here, elsewhere = await stage.signed_in("vic"), await stage.signed_in("vic")
    before = here.cookies["twite"]
    new = "another sentence of his own"

    answer = await here.post(
        "/console/account/password", {"password": PASSWORD, "new": new, "again": new}
    )

    assert answer.status == 303
    assert here.cookies["twite"] != before
    assert (await here.get("/console/account")).status == 200
    assert (await elsewhere.get("/console/account")).status == 303
    await here.post(
        "/console/account/password", {"password": new, "new": PASSWORD, "again": PASSWORD}
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "wrong", "new": "another sentence of his own"},
        {"password": PASSWORD, "new": "short"},
        {"password": PASSWORD, "new": "password123456"},
        {"password": PASSWORD, "new": "another sentence of his own", "again": "something else"},
    ],
)
async def test_password_change_requires_the_current_and_a_strong_new_password(stage, fields):
    visitor = await stage.signed_in("vic")

    await visitor.post("/console/account/password", {"again": fields["new"], **fields})

    said = (await visitor.get("/console/account")).text
    assert 'class="said bad"' in said
    assert (await stage.browser().sign_in("vic")).status == 303


async def test_two_factor_code_is_required_after_it_is_set_up(stage):
    visitor = await stage.signed_in("client")
    page = (await visitor.get("/console/account/codes")).text
    secret = page.split("<code>")[1].split("</code>")[0].replace(" ", "")

    recovery = await visitor.post(
        "/console/account/codes", {"code": pyotp.TOTP(secret).now(), "password": PASSWORD}
    )

    codes = recovery.text.split('<pre id="recovery" tabindex="0">')[1].split("</pre>")[0].split()
    assert len(codes) == 10
    assert (await stage.browser().sign_in("client")).status == 403
    assert (await stage.browser().sign_in("client", code=codes[0])).status == 303
    await visitor.post("/console/account/codes/off", {"password": PASSWORD})
    assert (await stage.browser().sign_in("client")).status == 303


async def test_refusal_after_too_many_sign_ins_says_how_long_to_wait(stage):
    visitor = stage.browser()
    answers = [await visitor.sign_in("nobody-at-all", "a wrong sentence here") for _ in range(12)]

    assert answers[0].status == 403
    slowed = [answer for answer in answers if answer.status == 429]
    assert slowed
    assert all(re.search(r"Too many attempts\. Wait \d+ s\.", answer.text) for answer in slowed)


async def test_change_of_a_user_requires_the_admins_own_password(stage):
    ada = await stage.signed_in("ada")
    fields = {"name": "eve", "role": "admin", "sees": "all", "new": "a sentence of eve's own"}

    await ada.post("/console/people", {**fields, "own": "wrong"})
    refused = (await ada.get("/console/people")).text
    await ada.post("/console/people", {**fields, "own": PASSWORD})
    made = (await ada.get("/console/people")).text
    await ada.post("/console/people/users/eve/remove", {"own": PASSWORD})

    assert "Your password is wrong" in refused
    assert "eve can now sign in." in made
    assert (await stage.browser().sign_in("eve", "a sentence of eve's own")).status == 403


async def test_api_key_is_shown_once(stage):
    ada = await stage.signed_in("ada")

    made = await ada.post(
        "/console/people/keys",
        [("name", "reports"), ("scope", "history"), ("sees", "all"), ("own", PASSWORD)],
    )

    text = made.text.split('<pre id="text" class="once" tabindex="0">')[1].split("</pre>")[0]
    listed = (await ada.get("/console/people/keys")).text
    assert text.startswith("twk_")
    assert text not in listed
    assert text[:14] in listed


async def test_user_commands_require_the_control_token(stage):
    stranger = stage.browser()
    order = b'{"do": "note", "audit_event": {"at": 1, "who": "eve", "what": "login"}}'

    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
        answer = await stranger.ask(
            "POST", "/-/control", body=order, headers={"Origin": stranger.url} | headers
        )
        assert answer.status == 404


async def test_hidden_pixel_gets_the_response_of_an_unknown_one(stage):
    client = await stage.signed_in("client")

    listed = (await client.get("/console/pixels")).text
    hidden = await client.get("/console/pixels/o8z6j")
    unknown = await client.get("/console/pixels/nothing")

    assert "o6dkt" in listed
    assert "o8z6j" not in listed
    assert "another-source-key" not in listed
    same = hidden.text.replace("/pixels/o8z6j", "/pixels/nothing")
    assert (hidden.status, same) == (unknown.status, unknown.text)
