"""A gateway on PostgreSQL, through real processes; its database restarts and disappears."""

import json
import signal

import pytest
from gateway_processes import PIXEL, PostgresGateway, command, wait_for

from postgres_server import PostgresServer, programs

pytestmark = pytest.mark.journey


def a_purchase(conversion_id):
    return {
        "event": "purchase",
        "conversion_id": conversion_id,
        "value": "49.9",
        "currency": "eur",
        "email": "test@example.com",
    }


def ids_of(x):
    return x.counted()["pixels"][PIXEL]["events"]["o8z6k"]["ids"]


@pytest.fixture
def own_server():
    """A server that the test may stop."""
    server = PostgresServer(programs())
    yield server
    server.remove()


def test_gateway_and_commands_work_on_an_empty_database(tmp_path, x_emulator, empty_postgres_url):
    with PostgresGateway(tmp_path, x_emulator.url, empty_postgres_url) as gateway:
        first = gateway.post(a_purchase("order-1"))
        again = gateway.post(a_purchase("order-1"))
        balance = gateway.drained()
        accounting = command(gateway, "accounting", "--json")
        shown = command(gateway, "show", "order-1")
        checked = command(gateway, "check", "--json")
        stopped = gateway.stop()

    assert (first[0], first[1]["accepted"], again[1]["duplicates"]) == (202, 1, 1)
    assert (balance["received"], balance["delivered"], balance["balance"]) == (2, 1, 0)
    assert list(ids_of(x_emulator)) == ["order-1"]
    assert json.loads(accounting.stdout)["delivered"] == 1
    assert "delivered" in shown.stdout
    assert "PostgreSQL" in checked.stdout
    assert stopped == 0


def test_killed_gateway_continues_its_deliveries_on_postgresql(tmp_path, x_emulator, postgres_url):
    with PostgresGateway(tmp_path, x_emulator.url, postgres_url) as gateway:
        for number in range(5):
            gateway.post(a_purchase(f"order-{number}"))
        gateway.kill()
        gateway.start()
        gateway.post(a_purchase("order-0"))
        balance = gateway.drained()

    assert (balance["received"], balance["delivered"], balance["duplicate"]) == (6, 5, 1)
    assert len(ids_of(x_emulator)) == 5


def test_gateway_refuses_requests_while_its_database_is_down(tmp_path, x_emulator, own_server):
    with PostgresGateway(tmp_path, x_emulator.url, own_server.create("ledger")) as gateway:
        gateway.post(a_purchase("order-1"))
        gateway.drained()
        own_server.stop(signal.SIGQUIT)
        refused = gateway.post(a_purchase("order-2"))
        wait_for(lambda: gateway.get("/readyz")[0] == 503, gateway.ended)
        own_server.start()
        wait_for(lambda: gateway.post(a_purchase("order-2"))[0] == 202, gateway.ended)
        wait_for(lambda: gateway.get("/readyz")[0] == 200, gateway.ended)
        balance = gateway.drained()

    assert refused[0] == 503
    assert (balance["delivered"], balance["balance"]) == (2, 0)
    assert sorted(ids_of(x_emulator)) == ["order-1", "order-2"]


def test_alert_is_open_while_the_database_has_weak_durability(
    tmp_path, x_emulator, postgres_server, empty_postgres_url
):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    gateway = PostgresGateway(tmp_path, x_emulator.url, empty_postgres_url)
    accepting = "[store]\naccept_weak_durability = true\n"
    gateway.config.write_text(gateway.config.read_text().replace("[store]\n", accepting))

    def alerts():
        return json.loads(command(gateway, "alerts", "list", "--json").stdout)["alerts"]

    with gateway:
        wait_for(lambda: bool(alerts()), gateway.ended)
        open_now = alerts()
        gateway.stop()
        postgres_server.psql(f"ALTER DATABASE {name} RESET synchronous_commit")
        gateway.start()
        wait_for(lambda: not alerts(), gateway.ended)

    assert [(alert["code"], alert["subject"]) for alert in open_now] == [
        ("weak_durability", "store")
    ]
    assert open_now[0]["severity"] == "warning"
    assert "synchronous_commit is off" in open_now[0]["reason"]


@pytest.mark.parametrize("word", ["backup", "restore"])
def test_backup_commands_name_the_tools_of_postgresql(tmp_path, x_emulator, postgres_url, word):
    gateway = PostgresGateway(tmp_path, x_emulator.url, postgres_url)

    said = command(gateway, word, str(tmp_path / "copy.db"))

    assert said.returncode != 0
    assert "pg_" in said.stderr
