"""`twite key sources` shows when each key was created and last used."""

import json
import signal
import urllib.request

from command_stage import KEY, running, settings_in

from twite.domain.times import MINUTE, time_limit
from twite.machine.system import SystemClock

ORDER = b'{"event": "purchase", "conversion_id": "order-1", "email": "a@shop.example"}'


def listed(command, path):
    return json.loads(command("key", "sources", "--json", "--config", str(path))[1])


def test_use_of_a_key_is_shown_after_the_gateway_has_stopped(command, tmp_path):
    path = settings_in(tmp_path)
    with running("serve", "--config", str(path)) as (process, ready):
        before = listed(command, path)
        request = urllib.request.Request(
            f"{ready['url']}/v1/conversions",
            data=ORDER,
            headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 202
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    (after,) = listed(command, path)
    code, out, err = command("key", "sources", "--config", str(path))

    key = {"source": "shop", "id": None, "created_at": None, "made_by": ""}
    assert before == [{**key, "used_at": None}]
    now = SystemClock().now()
    used_at = time_limit(after["used_at"], now=now, path="")
    assert now - MINUTE < used_at <= now
    assert (code, err) == (0, "")
    assert "in the settings" in out
    assert after["used_at"] in out
