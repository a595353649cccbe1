"""Disk reserve: space kept in `<database>.reserve` for when the disk is full.

When the disk is full, the reserve is released, so that stored conversions can still be sent and
settled while intake stops. It is created again when there is space.
"""

import os
import shutil
from pathlib import Path


class Reserve:
    """The reserve file. The writer's thread releases it, and another thread creates it again."""

    def __init__(self, database: str, size: int) -> None:
        """`size` is in bytes; 0 means no reserve."""
        self.path = Path(f"{database}.reserve")
        self._size = size
        # Whether the reserve existed when the disk was full. If so, intake waits until it exists
        # again.
        self.given_up = False

    @property
    def there(self) -> bool:
        """Whether the whole reserve is on the disk."""
        try:
            return self.path.stat().st_size == self._size > 0
        except OSError:
            return False

    def make(self) -> bool:
        """Create the reserve if its size plus a quarter is free; return whether it exists."""
        if self._size == 0:
            self.path.unlink(missing_ok=True)
            return False
        if self.there:
            self.given_up = False
            return True
        try:
            # Remove a file with another size, or an incomplete one.
            self.path.unlink(missing_ok=True)
            if shutil.disk_usage(self.path.parent).free < self._size + self._size // 4:
                return False
            descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            try:
                os.posix_fallocate(descriptor, 0, self._size)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            # There was space, but the file cannot be created, so intake must not wait for it.
            self.given_up = False
            self.path.unlink(missing_ok=True)
            return False
        self.given_up = False
        return True

    def give_up(self) -> bool:
        """Release the reserve; return whether it existed."""
        try:
            self.path.unlink()
        except OSError:
            return False
        self.given_up = True
        return True
