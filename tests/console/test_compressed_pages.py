"""Responses are compressed, but not those that another site may have caused."""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_page_opened_by_the_console_or_the_user_is_compressed(stage, site):
    ada = await stage.signed_in("ada")

    answer = await ada.get("/console", **{"Sec-Fetch-Site": site})

    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < len(answer.text) / 2


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
async def test_page_that_another_site_may_have_opened_is_not_compressed(stage, site):
    ada = await stage.signed_in("ada")

    answer = await ada.get("/console", **({"Sec-Fetch-Site": site} if site else {}))

    assert "content-encoding" not in answer.headers


async def test_page_that_loads_itself_again_is_not_compressed(stage):
    """Another site may have opened it, with a text of its choice in the URL."""
    ada = await stage.signed_in("ada")
    headers = {"Sec-Fetch-Site": "same-origin", "X-Twite-Live": "1"}

    assert "content-encoding" not in (await ada.get("/console", **headers)).headers


async def test_page_is_sent_as_it_is_to_a_browser_that_cannot_decompress(stage):
    ada = await stage.signed_in("ada")
    headers = {"Sec-Fetch-Site": "none", "Accept-Encoding": "identity"}

    assert "content-encoding" not in (await ada.get("/console", **headers)).headers


async def test_static_files_contain_no_secrets_and_are_always_compressed(stage):
    visitor = stage.browser()
    page = (await visitor.get("/console/sign-in")).text
    path = page.split('href="/console/static/console.')[1].split('"')[0]

    answer = await visitor.get(f"/console/static/console.{path}")

    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
