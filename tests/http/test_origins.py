import msgspec
import pytest

from builders import a_source
from fakes import MovingClock
from twite.http.origins import Origins, page_origin
from twite.http.responses import HttpRefusal

SHOP = "https://shop.example"
OTHER = "https://other.example"


def a_page_source(name="shop", *origins):
    return msgspec.structs.replace(a_source(name), origins=origins or (SHOP,))


def the_origins(*sources, rate=600, clock=None, trusted=()):
    return Origins(
        sources or [a_page_source()],
        clock=clock or MovingClock(),
        rate=rate,
        trusted_proxies=trusted,
    )


def a_request(origin=SHOP, *, client="203.0.113.7", **headers):
    said = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if origin is not None:
        said.append((b"origin", origin.encode()))
    return {"type": "http", "client": (client, 55_555), "headers": said}


def refusal(asking):
    with pytest.raises(HttpRefusal) as refused:
        asking()
    answer = refused.value.answer
    return answer.status, msgspec.json.decode(answer.body)["errors"][0]["code"]


def test_origin_of_a_page_identifies_the_source():
    visit = the_origins().visit(a_request())

    assert (visit.source.name, visit.origin, visit.address) == ("shop", SHOP, "203.0.113.7")


@pytest.mark.parametrize(
    "origin",
    [
        OTHER,
        "http://shop.example",
        "https://shop.example.attacker.example",
        "https://a.shop.example",
        "https://shop.example:8443",
        "https://SHOP.example",
        "https://shop.example/",
        "https://shop.example, https://other.example",
        "https://sh\u00f6p.example",
    ],
)
def test_page_with_another_origin_is_refused(origin):
    asked = {"type": "http", "client": None, "headers": [(b"origin", origin.encode())]}

    assert refusal(lambda: the_origins().visit(asked)) == (403, "origin_wrong")


@pytest.mark.parametrize("origin", [None, "", "null"])
def test_page_request_without_origin_and_referer_is_refused(origin):
    assert refusal(lambda: the_origins().visit(a_request(origin))) == (403, "origin_missing")


def test_referer_replaces_a_missing_origin():
    visit = the_origins().visit(a_request(None, referer="https://shop.example/thanks?order=1"))

    assert visit.origin == SHOP


@pytest.mark.parametrize(
    ("referer", "origin"),
    [
        ("https://shop.example:443/a", "https://shop.example"),
        ("http://shop.example:8080/", "http://shop.example:8080"),
        ("https://SHOP.example/", "https://shop.example"),
        ("https://user:word@shop.example/", "https://shop.example"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443"),
        ("https://[2001:db8::1/", None),
        ("https://shop.example:many/", None),
        ("about:client", None),
        ("//shop.example/", None),
        ("", None),
    ],
)
def test_origin_is_read_from_a_referer_url(referer, origin):
    assert page_origin({b"referer": referer.encode()}) == origin


def test_source_name_selects_a_source_of_a_shared_origin():
    origins = the_origins(a_page_source("shop"), a_page_source("blog"))

    assert origins.visit(a_request(), "blog").source.name == "blog"
    assert refusal(lambda: origins.visit(a_request())) == (403, "source_unclear")


def test_name_of_a_source_with_another_origin_is_refused():
    origins = the_origins(a_page_source("shop"), a_page_source("other", OTHER))

    assert refusal(lambda: origins.visit(a_request(), "other")) == (403, "origin_wrong")


def test_source_without_origins_cannot_be_named_by_a_page():
    origins = the_origins(a_page_source("shop"), a_source("warehouse"))

    assert refusal(lambda: origins.visit(a_request(), "warehouse")) == (403, "source_unclear")


def test_address_over_its_rate_limit_gets_retry_after():
    origins = the_origins(rate=3)
    for _ in range(3):
        origins.visit(a_request())

    with pytest.raises(HttpRefusal) as refused:
        origins.visit(a_request())

    headers = dict(refused.value.answer.headers)
    assert refused.value.answer.status == 429
    assert headers[b"retry-after"] == b"20"
    assert headers[b"access-control-allow-origin"] == SHOP.encode()
    assert origins.visit(a_request(client="203.0.113.8")).address == "203.0.113.8"


def test_source_can_limit_the_rate_of_all_its_pages():
    source = msgspec.structs.replace(a_page_source(), browser_rate=2)
    origins = the_origins(source, a_page_source("other", OTHER))
    for number in range(2):
        origins.visit(a_request(client=f"203.0.113.{number}"))

    asked = a_request(client="203.0.113.9")

    assert refusal(lambda: origins.visit(asked)) == (429, "too_fast")
    assert origins.visit(a_request(OTHER)).source.name == "other"


def test_refused_requests_of_an_address_do_not_use_the_rate_of_the_source():
    source = msgspec.structs.replace(a_page_source(), browser_rate=3)
    origins = the_origins(source, rate=1)
    origins.visit(a_request())
    for _ in range(9):
        with pytest.raises(HttpRefusal):
            origins.visit(a_request())

    assert origins.visit(a_request(client="203.0.113.8")).address == "203.0.113.8"


def test_client_that_forges_forwarded_addresses_is_rate_limited():
    origins = the_origins(rate=3)

    def forged(number):
        with pytest.raises(HttpRefusal):
            origins.visit(a_request(x_forwarded_for=f"198.51.100.{number % 250}"))

    for _ in range(3):
        origins.visit(a_request())

    for number in range(1_000):
        forged(number)


def test_preflight_is_answered_for_the_exact_origin():
    answer = the_origins().preflight({b"origin": SHOP.encode()}, "shop")

    assert (answer.status, dict(answer.headers)) == (
        204,
        {
            b"access-control-allow-origin": SHOP.encode(),
            b"access-control-allow-credentials": b"true",
            b"vary": b"Origin",
            b"access-control-allow-methods": b"GET, POST, OPTIONS",
            b"access-control-allow-headers": b"content-type",
            b"access-control-max-age": b"7200",
        },
    )


def test_preflight_of_a_shared_origin_needs_no_source_name():
    origins = the_origins(a_page_source("shop"), a_page_source("blog"))

    assert origins.preflight({b"origin": SHOP.encode()}).status == 204


@pytest.mark.parametrize(
    ("origin", "name", "code"),
    [(OTHER, None, "origin_wrong"), (OTHER, "shop", "origin_wrong"), (SHOP, "x", "source_unclear")],
)
def test_preflight_of_another_origin_is_refused(origin, name, code):
    asking = the_origins().preflight

    assert refusal(lambda: asking({b"origin": origin.encode()}, name)) == (403, code)
