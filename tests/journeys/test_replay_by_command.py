"""A replay from the command line is worked off by the gateways on a PostgreSQL store."""

import json

import pytest
from gateway_processes import PostgresGateway, command, wait_for

pytestmark = pytest.mark.journey
ORDER = {"event": "purchase", "email": "shopper@shop.example", "value": "9.90", "currency": "EUR"}


def _read(gateway, *words):
    return json.loads(command(gateway, "dead", *words, "--json").stdout)


def test_leader_works_off_a_replay_that_a_command_started(tmp_path, x_emulator, postgres_url):
    gateway = PostgresGateway(tmp_path, x_emulator.url, postgres_url)
    right = gateway.config.read_text()
    gateway.config.write_text(right.replace('purchase = "o8z6k"', 'purchase = "o8zzz"'))
    with gateway:
        for number in range(3):
            gateway.post({**ORDER, "conversion_id": f"order-{number}"})
        wait_for(lambda: len(_read(gateway, "list")) == 3, gateway.ended)
        gateway.config.write_text(right)
        assert command(gateway, "reload").returncode == 0
        arguments = ["replay", "--all", "--held", "--current-mapping"]
        started = _read(gateway, *arguments)
        (followed,) = _read(gateway, "replays", started["replay"], "--follow")
        gateway.stop()

    assert (started["started"], started["refused"]) == (3, [])
    assert followed["progress"]["delivered"] == 3
    assert followed["edit"] == "event as currently mapped"
