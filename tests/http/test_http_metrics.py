from ipaddress import ip_network

import pytest
from http_stage import Stage

from raw_http import say
from twite.domain.history import ConversionCounts
from twite.domain.secret import Secret
from twite.http import HttpLimits, Server

# Local requests use the machine's own name.
ITSELF = {"Host": "localhost:8080"}


async def test_client_on_this_machine_can_read_the_metrics(stage):
    stage.records.kept = [ConversionCounts(source="shop", pixel="o8z6j")]

    answer = await stage.ask("GET", "/metrics", key=None, headers=ITSELF)

    assert (answer.status, answer.body) == (200, b"accounts 1\n")
    assert answer.headers["content-type"].startswith("text/plain; version=")


async def test_request_through_a_proxy_is_not_local(staged):
    open_stage = await staged()
    stage = await staged(trusted_proxies=[ip_network("127.0.0.0/8")])
    forwarded = ITSELF | {"X-Forwarded-For": "203.0.113.7"}

    answers = [
        await open_stage.ask("GET", "/metrics", key=None, headers=forwarded),
        await stage.ask("GET", "/metrics", key=None, headers=forwarded),
        await stage.ask(
            "GET",
            "/metrics",
            key=None,
            headers=ITSELF | {"X-Forwarded-For": "127.0.0.1, 203.0.113.7"},
        ),
    ]

    assert [answer.status for answer in answers] == [401, 401, 401]


@pytest.mark.parametrize(
    "said",
    [
        {"X-Real-IP": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"Via": "1.1 front"},
        {"X-Forwarded-Host": "t.shop.example"},
        {"CF-Connecting-IP": "203.0.113.7"},
        {"X-Forwarded-For": "::1"},
        {"Host": "t.shop.example"},
        {"Host": "rebound.example:8080"},
    ],
)
async def test_local_proxy_is_recognized_by_a_header_or_the_host_name(staged, said):
    stage = await staged(
        trusted_proxies=[ip_network("127.0.0.0/8")], metrics_key=Secret("a-metrics-key")
    )

    headers = ITSELF | said
    answers = [
        await stage.ask("GET", "/metrics", key=None, headers=headers),
        await stage.ask("GET", "/metrics", key="a-metrics-key", headers=headers),
    ]

    assert [answer.status for answer in answers] == [401, 200]
    assert "not through a proxy" in answers[0].json()["errors"][0]["message"]


async def test_client_on_another_machine_needs_the_metrics_key(staged):
    stage = await staged(metrics_key=Secret("a-metrics-key"))
    forwarded = {"X-Forwarded-For": "203.0.113.7"}

    answers = [
        await stage.ask("GET", "/metrics", headers=forwarded),
        await stage.ask("GET", "/metrics", key="a-metrics-key", headers=forwarded),
    ]

    assert [answer.status for answer in answers] == [401, 200]


NGINX = b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "said",
    [
        {"public_url": "https://t.shop.example"},
        {"console_url": "https://twite.shop.example"},
        {"public_url": "http://127.0.0.1:8080", "console_url": "https://twite.shop.example"},
        {"trusted_proxies": [ip_network("127.0.0.1/32")]},
        {"trusted_proxies": [ip_network("10.0.0.0/8")]},
    ],
)
async def test_metrics_are_refused_if_a_proxy_may_send_no_headers(staged, said):
    stage = await staged(**said, metrics_key=Secret("a-metrics-key"))

    silent = await stage.say(NGINX % stage.server.port)
    keyed = await stage.ask("GET", "/metrics", key="a-metrics-key", headers=ITSELF)

    assert b"401" in silent.splitlines()[0]
    assert keyed.status == 200


async def test_local_port_serves_metrics_to_local_clients(staged, unused_tcp_port):
    local = unused_tcp_port
    stage = Stage(public_url="https://t.shop.example", local_port=local)
    stage.server = Server(
        stage.collector, host="127.0.0.1", port=0, local=("127.0.0.1", local), limits=HttpLimits()
    )
    await stage.server.start()
    try:
        silent = await say(stage.server.port, NGINX % stage.server.port)
        itself = await say(local, NGINX % local)
        rebound = await say(local, NGINX.replace(b"127.0.0.1:%d", b"rebound.example:%d") % local)
    finally:
        await stage.server.stop()

    lines = [answer.splitlines()[0] for answer in (silent, itself, rebound)]
    assert [line.split()[1] for line in lines] == [b"401", b"200", b"401"]


async def test_public_url_on_this_machine_means_that_there_is_no_proxy(staged):
    stage = await staged(public_url="http://127.0.0.1:8080")

    assert b"200" in (await stage.say(NGINX % stage.server.port)).splitlines()[0]
