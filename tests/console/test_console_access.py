"""Access to the console by client address, host name and origin."""

import gc
import io
import re

import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage, SimulatedBrowser, form_token

from twite.console.request_checks import AccessDenied, inside

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC = {"Host": "t.shop.example"}


@pytest_asyncio.fixture(loop_scope="module")
async def ada(stage):
    return await stage.signed_in("ada")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        (PUBLIC, 200),
        ({"Host": "T.Shop.Example"}, 200),
        ({"Host": "rebound.example"}, 421),
        ({"Host": "t.shop.example.evil.example"}, 421),
        ({"Host": "10.0.0.1"}, 421),
    ],
)
async def test_console_responds_only_under_its_own_host_names(stage, headers, status):
    answer = await stage.browser().get("/console/sign-in", **headers)

    assert answer.status == status


@pytest.mark.parametrize("forwarded", ["203.0.113.7", "198.51.100.1", "nonsense", "127.0.0.1"])
async def test_header_of_an_untrusted_proxy_closes_the_console(stage, forwarded):
    answer = await stage.browser().get("/console/sign-in", **{"X-Forwarded-For": forwarded})

    assert answer.status == 403
    assert "server.trusted_proxies" in answer.text


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "Via",
        "X-Real-IP",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "CF-Connecting-IP",
    ],
)
async def test_proxy_without_a_client_address_is_not_local(stage, name):
    answer = await stage.browser().get("/console/sign-in", **{name: "for=198.51.100.1"})

    assert answer.status == 403
    assert "cannot tell your address" in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "upstream", "t.shop.example"])
async def test_proxy_without_headers_is_not_local(stage, host):
    """A plain nginx `proxy_pass`: no X-Forwarded-For, and the upstream's name as Host."""
    through = SimulatedBrowser(stage.gateway.url)
    async with through:
        answer = await through.get("/console/sign-in", Host=host)

    assert answer.status == 403
    assert "cannot tell your address" in answer.text


@pytest.mark.parametrize("public", [None, "http://127.0.0.1:8080"])
async def test_console_with_its_own_url_works_behind_a_proxy(tmp_path, public):
    """A proxy without X-Forwarded-For does not count as local if only console.url is public."""
    named = SETTINGS.replace("[console]\n", '[console]\nurl = "https://twite.shop.example"\n')
    named = named.replace('trusted_proxies = ["127.0.0.9/32"]\n', "")
    ours = "" if public is None else f'public_url = "{public}"\n'
    behind = ConsoleStage(tmp_path, named.replace('public_url = "https://t.shop.example"\n', ours))
    await behind.start()
    try:
        async with (
            SimulatedBrowser(behind.gateway.url) as through,
            SimulatedBrowser(behind.url) as local,
        ):
            hosted = {"Host": "127.0.0.1:8080"}
            console = (await through.get("/console/sign-in", **hosted)).status
            metrics = (await through.get("/metrics", **hosted)).status
            itself = (await local.get("/metrics", **hosted)).status
    finally:
        await behind.stop()

    assert (console, metrics, itself) == (403, 401, 200)


async def test_every_response_has_security_headers(stage, ada):
    too_many = f"/console/sign-in?{'a&' * 2_500}"
    for path in ("/console/account", "/console/sign-in", "/console/nothing", too_many):
        headers = (await ada.get(path)).headers

        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers


async def test_https_cookie_is_limited_to_its_host_and_hsts_is_set(stage):
    answer = await stage.browser().get("/console/sign-in", **PUBLIC)

    morsel = answer.cookies["__Host-twite-visitor"]
    assert (morsel["secure"], morsel["httponly"], morsel["path"]) == (True, True, "/")
    assert morsel["samesite"] == "lax"
    assert morsel["domain"] == ""
    assert answer.headers["strict-transport-security"] == ("max-age=31536000; includeSubDomains")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_form_sent_from_another_site_is_refused(stage, ada, headers):
    answer = await ada.post("/console/account/elsewhere", headers=headers)

    assert (answer.status, "From another site" in answer.text) == (403, True)


async def test_form_without_an_origin_header_is_refused(stage, ada):
    token = form_token((await ada.get("/console/account")).text)

    answer = await ada.ask("POST", "/console/account/elsewhere", body={"form_token": token})

    assert answer.status == 403


@pytest.mark.parametrize("body", [{}, {"form_token": ""}, {"form_token": "0" * 64}])
async def test_every_route_that_changes_something_requires_the_form_token(stage, ada, body):
    refused = []
    for route in stage.routes:
        if route.method == "POST":
            answer = await ada.ask("POST", route.path, body=body, headers={"Origin": ada.url})
            refused.append((route.path, answer.status, "Form expired" in answer.text))

    assert {(status, reported) for _, status, reported in refused} == {(403, True)}
    assert (await ada.get("/console/account")).status == 200


async def test_form_is_limited_to_a_mebibyte(stage, ada):
    body = io.BytesIO(b"form_token=&x=" + b"x" * (1 << 20))

    answer = await ada.ask("POST", "/console/theme", body=body, headers={"Origin": ada.url})

    assert answer.status == 413


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("/console/people/audit", "/console/people/audit"),
        ("/console/people/audit?before=7", "/console/people/audit?before=7"),
        ("/console/people/users/ada%40shop.example", "/console/people/users/ada%40shop.example"),
        ("//evil.example", "/console"),
        ("/\\evil.example", "/console"),
        ("/console//evil.example", "/console"),
        ("/console/\\evil.example", "/console"),
        ("https://evil.example/console", "/console"),
        ("/console@evil.example", "/console"),
        ("/console\r\nSet-Cookie: a=b", "/console"),
        ("/console/\x00", "/console"),
        ("javascript:alert(1)", "/console"),
        ("/consolex", "/console"),
        ("/console/../g/collect", "/console"),
        ("/console/people/users/..", "/console"),
        ("/console/%2e%2E/t", "/console"),
        ("/console/.%2e?x=1", "/console"),
        ("/console/people/users/a..b", "/console/people/users/a..b"),
        ("/console/" + "a" * 3_000, "/console"),
        ("", "/console"),
    ],
)
async def test_redirect_after_sign_in_stays_in_the_console(stage, path, leads):
    assert inside(path) == leads


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("ada", "/console/nothing", 404),
        ("ada", "/console/problems/zzz", 404),
        ("ada", "/console/conversions/999", 404),
        ("vic", "/console/people", 403),
    ],
)
async def test_refused_page_of_a_user_has_the_navigation_and_leads_home(stage, name, path, status):
    answer = await (await stage.signed_in(name)).get(path)
    _, _, main = answer.text.partition("<main")

    assert answer.status == status
    assert re.search('<a href="/console/conversions"[^>]*>Conversions</a>', answer.text)
    assert '<a class="lone" href="/console">Home</a>' in main
    assert "Sign out" in answer.text


async def test_unknown_address_has_no_navigation_without_signing_in(stage):
    answer = await stage.browser().get("/console/nothing")

    assert (answer.status, "<nav" in answer.text) == (404, False)


async def test_refused_requests_leave_nothing_in_memory(stage, ada):
    for _ in range(3):
        assert (await ada.get("/console/nothing")).status == 404
        assert (await stage.browser().get("/console/link/used")).status == 403
        assert (await stage.browser().post("/console/account/elsewhere")).status == 401
    gc.collect()

    left = [each for each in gc.get_objects() if isinstance(each, AccessDenied)]
    assert [str(each) for each in left if each.__traceback__] == []


async def test_unknown_address_of_the_console_is_404(stage, ada):
    assert (await ada.get("/console/nothing")).status == 404
    assert (await ada.ask("DELETE", "/console/account")).status == 405
    assert (await ada.get("/console/static/console.css")).status == 404


async def test_static_files_are_cached_under_their_content_hash(stage, ada):
    page = (await ada.get("/console/account")).text
    name = page.split('href="/console/static/')[1].split('"')[0]

    answer = await ada.get(f"/console/static/{name}")

    assert answer.status == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_console_remembers_the_color_theme(stage, ada):
    await ada.post("/console/theme", {"theme": "dark", "there": "/console/people/audit"})

    assert 'data-theme="dark"' in (await ada.get("/console/account")).text
