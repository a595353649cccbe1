import pytest

from twite.gateway.ports.machine import DiskSpace
from twite.machine.system import SystemDisk


async def test_free_space_and_file_sizes_are_measured(tmp_path):
    (tmp_path / "twite.db").write_bytes(b"x" * 1_234)
    disk = SystemDisk(
        tmp_path, {"database": tmp_path / "twite.db", "log": tmp_path / "twite.db-wal"}
    )

    space = await disk.space()

    assert space == DiskSpace(free=space.free, files={"database": 1_234, "log": 0})
    assert space.free > 0


async def test_free_space_of_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        await SystemDisk(tmp_path / "gone", {}).space()
