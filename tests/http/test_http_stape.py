"""Stape's auth proxy: the URL that Stape's tag calls, with a source's key in place of Stape's."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest
from http_stage import StoppedClock
from tag_stage import CLICK, KEY, TagStage, a_shop, stage_arguments

from twite.domain.destination import Destination
from twite.domain.secret import Secret
from twite.domain.submission import Endpoint
from twite.gateway.ingest.stape_proxy import StapeProxy, TagCredentials
from twite.gateway.ports.events import SilentObserver
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.state import SealedSecret
from twite.machine.seal import AesSeal

PATH = f"/stape-api/{KEY}/v1/twitter/auth-proxy"
AUTH = {
    "consumer_key": "xvz1evFS4wEEPTGEFPHBog",
    "consumer_secret": "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
    "oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    "oauth_token_secret": "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
}
TAG = {"Content-Type": "application/json", "Authorization": "Bearer undefined"}


def a_body(pixel="o8z6j", **conversion):
    complete = {"event_id": f"tw-{pixel}-o8z6k", "identifiers": [{"twclid": CLICK}]}
    complete |= {"conversion_id": "T-1", "conversion_timestamp": 1_795_514_400_000}
    return msgspec.json.encode(
        {"pixel_id": pixel, "conversions": [complete | conversion], "auth": AUTH}
    )


class SendsToNobody:
    def send_to(self, destination: Destination) -> None:
        pass

    def leave(self, pixel: str) -> None:
        pass


class ProxyStage(TagStage):
    async def post(self, body: bytes, path: str = PATH, **headers: str):
        return await self.stage.ask("POST", path, body, key=None, headers=TAG | headers)


@pytest.fixture
def proxies(staged) -> Callable[..., Awaitable[ProxyStage]]:
    async def open_(*sources) -> ProxyStage:
        needs, store = stage_arguments(*sources)
        secret_store = SecretStore(state=store, seal=AesSeal(Secret("a-key-to-seal-with-it")))
        tag_credentials = TagCredentials(
            secret_store=secret_store,
            destinations=needs["destinations"],
            rate=100,
            sends=SendsToNobody(),
            queries=store,
            clock=StoppedClock(),
            observer=SilentObserver(),
            most=1,
        )
        proxy = StapeProxy(
            accept=needs["accept"],
            clock=StoppedClock(),
            salt=b"salt",
            destinations=needs["destinations"],
            tag_credentials=tag_credentials,
        )
        return ProxyStage(await staged(**needs, proxy=proxy), store)

    return open_


@pytest.fixture
async def proxy(proxies) -> ProxyStage:
    return await proxies()


async def test_conversion_of_stapes_tag_is_stored_and_answered_like_by_x(proxy):
    response = await proxy.post(a_body())

    assert response.status == 200
    assert response.json()["data"]["conversions_processed"] == 1
    assert [conversion["conversion_id"] for conversion in await proxy.sent()] == ["T-1"]
    assert [(submission.source, submission.endpoint) for submission in proxy.store.kept] == [
        ("shop", Endpoint.STAPE)
    ]


@pytest.mark.parametrize(
    ("said", "response"), [("12", "12"), ("11", "11"), (None, "12"), ("x", "12")]
)
async def test_api_version_is_that_of_the_tag_or_the_current_one(proxy, said, response):
    headers = {} if said is None else {"x-twitter-api-version": said}

    answer = await proxy.post(a_body(), **headers)

    assert answer.headers["x-current-api-version"] == response


async def test_oauth_secrets_of_the_body_are_not_stored(proxy):
    await proxy.post(a_body())

    (kept,) = proxy.store.kept
    assert list(await proxy.store.load(SealedSecret)) == []
    for secret in AUTH.values():
        assert secret.encode() not in kept.body
        assert secret not in repr(kept)


@pytest.mark.parametrize("key", ["wrong", "", "%00"])
async def test_wrong_key_is_refused_in_x_format(proxy, key):
    response = await proxy.post(a_body(), f"/stape-api/{key}/v1/twitter/auth-proxy")

    assert (response.status, response.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED_ACCESS")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID_PARAMETER"),
        (b"<html>", 400, "INVALID_PARAMETER"),
        (b"[]", 400, "INVALID_PARAMETER"),
        (a_body(identifiers=[]), 400, "INVALID_PARAMETER"),
        (a_body(event_id="tw-p2-o8z6k"), 404, "NOT_FOUND"),
        (a_body("p9"), 404, "NOT_FOUND"),
    ],
)
async def test_refusals_have_x_format(proxy, body, status, code):
    response = await proxy.post(body)

    assert response.status == status
    assert code in [error["code"] for error in response.json()["errors"]]
    assert "request" in response.json()
    assert await proxy.sent() == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH, 405),
        ("POST", f"/stape-api/{KEY}/v1/twitter/other", 404),
        ("POST", f"/stape-api/{KEY}", 404),
    ],
)
async def test_unknown_methods_and_paths_are_refused_in_x_format(proxy, method, path, status):
    response = await proxy.stage.ask(method, path, b"", key=None)

    assert (response.status, set(response.json())) == (status, {"errors", "request"})


async def test_oversized_body_is_refused_in_x_format(proxy):
    response = await proxy.post(b" " * (1024 * 1024 + 1))

    assert (response.status, set(response.json())) == (413, {"errors", "request"})


async def test_credentials_of_unknown_pixels_in_the_body_are_refused_by_default(proxy):
    response = await proxy.post(a_body("p9"))

    assert response.status == 404
    assert response.json()["errors"][0]["message"] == "pixel_id (p9) was not found"
    assert list(await proxy.store.load(SealedSecret)) == []


async def test_permitted_credentials_are_stored_sealed_and_used_for_their_pixel(proxies):
    proxy = await proxies(a_shop(stape_credentials="stored"))

    response = await proxy.post(a_body("p9"))

    (secret,) = await proxy.store.load(SealedSecret)
    name, sealed = secret.name, secret.sealed
    assert (response.status, name) == (200, "stape/p9")
    assert [account.pixel for account in await proxy.store.balance()] == ["p9"]
    for secret in AUTH.values():
        assert secret.encode() not in sealed


async def test_permitted_pixel_without_credentials_is_unknown(proxies):
    proxy = await proxies(a_shop(stape_credentials="stored"))

    response = await proxy.post(a_body("p9").replace(b'"auth":', b'"other":'))

    assert response.status == 404


async def test_source_cannot_use_the_stored_credentials_of_another_source(proxies):
    theirs = Secret("the-key-of-another-client")
    proxy = await proxies(
        a_shop(stape_credentials="stored"),
        a_shop(name="other", key=theirs, origins=(), stape_credentials="stored"),
    )
    await proxy.post(a_body("p9"))

    response = await proxy.post(a_body("p9"), f"/stape-api/{theirs.reveal()}/v1/twitter/auth-proxy")

    assert response.status == 404


async def test_number_of_pixels_with_stored_credentials_is_limited(proxies):
    proxy = await proxies(a_shop(stape_credentials="stored"))
    await proxy.post(a_body("p8"))

    response = await proxy.post(a_body("p9"))

    assert response.status == 400
    assert response.json()["errors"][0]["parameter"] == "pixel_id"
