"""Two gateways on a stopped database: the leader still calls the webhook."""

import signal
import threading

import pytest
from gateway_processes import PostgresGateway, wait_for
from test_alerts import Listener

from postgres_server import PostgresServer, programs
from twite_emulator.process import running_emulator

pytestmark = pytest.mark.journey


@pytest.fixture
def own_server():
    """A database server that the test may stop."""
    server = PostgresServer(programs())
    yield server
    server.remove()


@pytest.fixture
def chat():
    server = Listener()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_leader_calls_the_webhook_without_the_database(tmp_path, own_server, chat):
    url = own_server.create("ledger")

    def said():
        return [(message["code"], message["event"]) for message in chat.said]

    with running_emulator() as x:
        gateways = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            gateways.append(PostgresGateway(folder, x.url, url))
            settings = gateways[-1].config.read_text()
            gateways[-1].config.write_text(settings.replace("[log]", f"{chat.settings()}\n[log]"))
        with gateways[0], gateways[1]:
            own_server.stop(signal.SIGQUIT)
            wait_for(lambda: ("store_failing", "opened") in said(), gateways[0].ended)
            for gateway in gateways:
                wait_for(lambda gateway=gateway: gateway.get("/readyz")[0] == 503, gateway.ended)
            before = said()
            own_server.start()
            wait_for(lambda: gateways[0].get("/readyz")[0] == 200, gateways[0].ended)
            wait_for(lambda: gateways[1].get("/readyz")[0] == 200, gateways[1].ended)
            status, _ = gateways[0].post(
                {"event": "purchase", "conversion_id": "1", "email": "a@example.com"}
            )

    assert before == [("store_failing", "opened")]
    assert status == 202
