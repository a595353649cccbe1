"""A fake disk with a given amount of free space."""

from twite.gateway.ports.machine import DiskSpace


class SetDisk:
    """`room` is the free space that it reports; None makes it fail as a broken disk does."""

    def __init__(self, room: DiskSpace | None = None) -> None:
        self.room: DiskSpace | None = room or DiskSpace(free=50 << 30, files={"database": 1})

    async def space(self) -> DiskSpace:
        """Return the free space. Raises OSError if `room` is None."""
        if self.room is None:
            raise OSError(5, "Input/output error")
        return self.room
