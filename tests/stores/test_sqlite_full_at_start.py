"""On a full disk, a starting gateway uses the reserve for the files next to the store."""

from types import SimpleNamespace

import pytest

from twite.stores.sqlite.engine import opening
from twite.stores.sqlite.engine.reserve import Reserve


@pytest.mark.parametrize(("free", "given_up"), [(4_096, True), (64 * 1024 * 1024, False)])
def test_reserve_is_deleted_at_the_start_on_a_full_disk(tmp_path, monkeypatch, free, given_up):
    path = str(tmp_path / "twite.db")
    reserve = Reserve(path, 1024 * 1024)
    opening.prepare(path, reserve)
    assert reserve.make()
    monkeypatch.setattr(opening.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    opening.prepare(path, reserve)

    assert (reserve.given_up, reserve.there) == (given_up, not given_up)
