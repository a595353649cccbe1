"""Links with which clients of an agency see their pixels, once and for a limited time."""

import html
import re

import pytest
import pytest_asyncio
from console_stage import PASSWORD, ConsoleStage

from twite.app.store_access import open_records
from twite.domain.people.users import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINKS = "/console/people/links"
FORM = {"client_name": "acme", "sees": "some", "pixel": "o6dkt", "lasting": "7", "own": PASSWORD}


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path):
    stage = ConsoleStage(tmp_path)
    await stage.start()
    yield stage
    await stage.stop()


async def link_for(browser, **changes):
    form = {name: text for name, text in (FORM | changes).items() if text is not None}
    answer = await browser.post(LINKS, form)
    assert answer.status == 200, answer.text
    url = html.unescape(re.search(r'<pre id="text"[^>]*>([^<]+)</pre>', answer.text)[1])
    assert url.startswith("https://t.shop.example/console/link/")
    return url.removeprefix("https://t.shop.example")


async def refused(browser, **changes):
    """Return the page with the form that was refused."""
    form = {name: text for name, text in (FORM | changes).items() if text is not None}
    answer = await browser.post(LINKS, form)
    assert answer.status == 303
    return (await browser.get(answer.location)).text


async def test_client_sees_only_the_pixels_of_the_link_and_changes_nothing(stage):
    link = await link_for(await stage.signed_in("ada"))
    client = stage.browser()

    opened = await client.post(link)
    pixels = (await client.get("/console/pixels")).text
    hidden = [await client.get(f"/console/{path}") for path in ("pixels/o8z6j", "sources/shop")]
    denied = [
        await client.post("/console/pixels/o6dkt/pause"),
        await client.get("/console/people"),
        await client.post(LINKS, FORM | {"client_name": "friend"}),
    ]
    again = await stage.browser().post(link)

    assert opened.status == 303
    assert "o6dkt" in pixels
    assert "o8z6j" not in pixels
    assert [answer.status for answer in hidden] == [404, 404]
    assert [answer.status for answer in denied] == [403, 403, 403]
    assert again.status == 403


async def test_empty_page_tells_a_client_what_it_may_see_and_not_what_to_configure(stage):
    client = stage.browser()
    await client.post(await link_for(await stage.signed_in("ada"), pixel="o9a7k"))

    for path in ("sources", "system", "system/webhooks"):
        page = (await client.get(f"/console/{path}")).text
        assert '<div class="empty">' in page
        assert "You see " in page
        assert "twite.toml" not in page


async def test_client_has_no_password(stage):
    await link_for(await stage.signed_in("ada"))
    client = stage.browser()

    tries = [await client.sign_in("acme", password) for password in ("", "!", PASSWORD)]

    assert [answer.status for answer in tries] == [403, 403, 403]


async def test_revoked_client_is_signed_out_and_open_links_end(stage):
    ada, client = await stage.signed_in("ada"), stage.browser()
    await client.post(await link_for(ada))
    unused = await link_for(ada, again="yes")

    await ada.post("/console/people/users/acme/remove", {"own": PASSWORD})

    assert (await client.get("/console/pixels")).location.startswith("/console/sign-in")
    assert (await stage.browser().post(unused)).status == 403


async def test_link_never_gives_the_rights_of_a_user_who_exists(stage):
    ada = await stage.signed_in("ada")

    pages = [await refused(ada, client_name=name) for name in ("olga", "client", "ada")]

    assert all("already exists" in page for page in pages)
    async with open_records(stage.settings) as records:
        olga = await records.people.user("olga")
        assert not await records.people.sessions("olga")
    assert (olga.role, olga.pixels) == (Role.OPERATOR, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pixel": "not-configured"}, "not configured"),
        ({"client_name": "Some Client"}, "not a valid user name"),
        ({"lasting": "9999"}, "how long"),
        ({"own": "wrong"}, "Nothing was changed"),
        ({"pixel": None}, "choose at least one pixel"),
        ({"sees": "all"}, "you chose all pixels, and ticked o6dkt"),
    ],
)
async def test_refused_link_says_why_and_keeps_what_was_typed(stage, change, reason):
    page = await refused(await stage.signed_in("ada"), **change)

    assert reason in html.unescape(page)
    assert f'value="{(FORM | change)["client_name"]}"' in page
    async with open_records(stage.settings) as records:
        assert await records.people.user("acme") is None


async def test_link_is_audited_and_only_its_digest_is_stored(stage):
    ada = await stage.signed_in("ada")
    link = await link_for(ada)
    page = (await ada.get("/console/people/users/acme")).text

    async with open_records(stage.settings) as records:
        entries = [entry.audit_event for entry in await records.people.audit(limit=2)]
    added, made = reversed(entries)
    assert (made.who, made.what, made.subject) == ("ada", "user.link", "acme")
    assert (added.what, added.detail) == ("user.add", "viewer, pixels: o6dkt, signs in by links")
    assert "A link can be opened until" in page
    token = link.rpartition("/")[2]
    assert token not in page
    stored = b"".join(file.read_bytes() for file in stage.folder.glob("twite.db*"))
    assert token.encode() not in stored


async def test_client_who_gets_another_role_gets_no_more_links(stage):
    ada = await stage.signed_in("ada")
    link = await link_for(ada)

    await ada.post(
        "/console/people/users/acme/role", {"role": "operator", "sees": "all", "own": PASSWORD}
    )
    page = await ada.get("/console/people/users/acme")
    again = await refused(ada, again="yes")

    assert (page.status, "Make another link" in page.text) == (200, False)
    assert "No link was made" in again
    assert (await stage.browser().post(link)).status == 403
