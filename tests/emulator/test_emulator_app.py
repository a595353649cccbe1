"""The application through its ASGI interface."""

from x_requests import a_judge

from twite_emulator.server.app import EmulatorApp

OWN = (b"host", b"127.0.0.1:8081")


async def ask(client, *headers):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/_emulator/counted",
        "raw_path": b"/_emulator/counted",
        "query_string": b"",
        "headers": list(headers or (OWN,)),
        "client": client,
    }
    await EmulatorApp(a_judge())(scope, receive, send)
    return sent[0]["status"]


async def test_control_routes_answer_only_loopback_clients():
    clients = [("127.0.0.1", 5), ("::1", 5), ("192.0.2.7", 5), None]

    statuses = [await ask(client) for client in clients]

    assert statuses == [200, 200, 404, 404]


async def test_control_routes_refuse_local_proxies_and_other_host_names():
    here = ("127.0.0.1", 5)

    statuses = [
        await ask(here, OWN, (b"x-real-ip", b"203.0.113.7")),
        await ask(here, (b"host", b"rebound.example:8081")),
    ]

    assert statuses == [404, 404]
