import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# In memory where there is room, as in postgres_server.py: no claim is about the speed of the disk.
IN_MEMORY = Path("/dev/shm")  # noqa: S108
ROOM = 1 << 30


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    if not IN_MEMORY.is_dir() or shutil.disk_usage(IN_MEMORY).free < ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=IN_MEMORY, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
