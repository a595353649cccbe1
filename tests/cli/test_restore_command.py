"""`twite restore` as an operator runs it."""

import json
import signal

from command_stage import running, settings_in, store_in, twite


def test_backup_is_restored_with_a_summary(tmp_path):
    path = settings_in(tmp_path)
    store_in(tmp_path)
    copy = tmp_path / "copy.db"
    twite("backup", str(copy), "--config", str(path))

    code, out, err = twite("restore", str(copy), "--config", str(path))
    reported = json.loads(twite("restore", str(copy), "--config", str(path), "--json")[1])

    assert code == 0
    assert f"restored from {copy}" in out
    assert "1 to send at the next start; nothing has been sent since the backup" in out
    assert "0 conversions were received after the backup" in out
    assert "twite.db.replaced-" in out
    assert "The backup does not contain later erasures, opt-outs" in err
    assert (reported["pending"], reported["sent"], reported["why"]) == (1, True, None)
    former = [path for path in tmp_path.glob("twite.db.replaced-*") if path.name[-4:-3] != "-"]
    assert len(former) == 2
    assert twite("show", "order-1", "--config", str(path))[0] == 0


def test_restore_is_refused_while_a_gateway_is_running(tmp_path):
    path = settings_in(tmp_path)
    copy = tmp_path / "copy.db"

    with running("serve", "--config", str(path)) as (process, _):
        twite("backup", str(copy), "--config", str(path))
        code, _, err = twite("restore", str(copy), "--config", str(path))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert (code, f"in use by process {process.pid}" in err) == (1, True)
    assert not list(tmp_path.glob("twite.db.replaced-*"))
