"""A gateway is killed while conversions wait for identifiers: each is sent once, none is lost."""

import pytest
from gateway_processes import Gateway

from twite_emulator.process import counts_of, running_emulator

EACH = 20


@pytest.mark.journey
@pytest.mark.timeout(120)
def test_conversions_that_wait_survive_kills_and_are_sent_once(tmp_path):
    with running_emulator() as emulator, Gateway(tmp_path, emulator.url) as gateway:
        gateway.kill()
        gateway.config.write_text(gateway.config.read_text() + 'wait = "4s"\n')
        gateway.start()
        for part in range(3):
            sent = [
                gateway.post(
                    {"conversions": [order(f"{part}-{number}", event) for number in range(EACH)]}
                )
                for event in ("purchase", "sign_up")
            ]
            assert [status for status, _ in sent] == [202, 202]
            assert gateway.balance()["pending"] >= EACH
            gateway.kill()
            gateway.start()

        balance = gateway.drained()

        assert (balance["received"], balance["delivered"]) == (6 * EACH, 6 * EACH)
        assert balance["balance"] == 0
        tallies = [
            tally for event in counts_of(emulator, "o8z6j").values() for tally in event.ids.values()
        ]
        assert len(tallies) == 6 * EACH
        assert all((tally.api, tally.counted) == (1, 1) for tally in tallies)
        bodies = emulator.received(bodies=True)
        assert str(bodies).count("hashed_email") == 6 * EACH


def order(name, event):
    """Return a user's purchase without identifiers, or the sign-up that says the email."""
    email = {"email": f"{name}@shop.example"} if event == "sign_up" else {}
    return {
        "event": event, "conversion_id": f"{event}-{name}", "value": "49.90", "currency": "EUR",
        "user_id": f"user-{name}",
    } | email  # fmt: skip
