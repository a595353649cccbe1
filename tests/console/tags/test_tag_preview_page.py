"""The preview page: who may open a session, and what it shows of a request."""

import re

import aiohttp
import pytest
import pytest_asyncio
from console_stage import PEOPLE, ConsoleStage

from twite.domain.people.users import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-source-key-of-some-length"
PATH = "/console/tags"
PERSON = "ada@shop.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("preview"))
    await stage.start(people={**PEOPLE, "some": (Role.OPERATOR, ["o6dkt"])})
    yield stage
    await stage.stop()


async def sent(stage, token, **more):
    order = {"event": "purchase", "conversion_id": "P-1", "email": PERSON, **more}
    headers = {"Authorization": f"Bearer {KEY}", "X-Gtm-Server-Preview": token}
    url = f"{stage.gateway.url}/v1/conversions"
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url, json=order) as answer,
    ):
        return answer.status


async def test_operator_opens_a_preview_session_and_sees_its_requests(stage):
    olga = await stage.signed_in("olga")
    opened = await olga.post(PATH, {"sends": "nothing"})
    empty = await olga.get(opened.location)
    token = re.search(r"x-gtm-server-preview: (\w+)", empty.text)[1]

    status = await sent(stage, token)
    page = await olga.get(opened.location)
    listed = await olga.get(PATH)
    other = await (await stage.signed_in("ada")).get(opened.location)
    closed = await olga.post(f"{opened.location}/close")

    assert (status, closed.location, other.status) == (202, PATH, 404)
    assert "No request yet." in empty.text
    assert "POST /v1/conversions" in page.text
    assert "would be sent" in page.text
    assert 'data-label="Pixel, event" class="main"><div>o8z6j o8z6k<' in page.text
    assert PERSON not in page.text
    assert opened.location in listed.text
    assert 'domain=shop.example"' in page.text.replace("&#34;", '"')
    assert (await olga.get(opened.location)).status == 404


async def previewed(stage):
    """Open a session, and send a request in it."""
    olga = await stage.signed_in("olga")
    opened = await olga.post(PATH, {"sends": "nothing"})
    page = await olga.get(opened.location)
    token = re.search(r"x-gtm-server-preview: (\w+)", page.text)[1]
    assert await sent(stage, token) == 202


async def test_preview_session_stores_no_conversion(stage):
    await previewed(stage)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{stage.gateway.url}/v1/accounting") as answer,
    ):
        assert (await answer.json())["received"] == 0


@pytest.mark.parametrize("name", ["vic", "client", "some"])
async def test_preview_session_requires_access_to_all_pixels(stage, name):
    person = await stage.signed_in(name)

    assert (await person.get(PATH)).status == 403
    assert (await person.post(PATH, {"sends": "nothing"})).status == 403


async def test_preview_session_is_audited(stage):
    await previewed(stage)
    audit = await (await stage.signed_in("ada")).get("/console/people/audit")

    assert "tag.preview" in audit.text


async def test_one_of_several_worker_processes_opens_no_preview_session(stage):
    olga = await stage.signed_in("olga")
    stage.gateway.feature.previews.shares_port = True
    try:
        opened = await olga.post(PATH, {"sends": "nothing"})
    finally:
        stage.gateway.feature.previews.shares_port = False

    assert opened.location == PATH
    assert "Start the gateway with workers = 1" in (await olga.get(PATH)).text
