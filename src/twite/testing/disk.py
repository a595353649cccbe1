"""A fake disk with a given amount of free space."""

from twite.gateway.ports.monitoring import DiskSpace


class SetDisk:
    """`room` is what it answers; None makes it fail as a broken disk does."""

    def __init__(self, room: DiskSpace | None = None) -> None:
        self.room: DiskSpace | None = room or DiskSpace(free=50 << 30, files={"database": 1})

    async def space(self) -> DiskSpace:
        """Return the room. Raises OSError where there is none to tell of."""
        if self.room is None:
            raise OSError(5, "Input/output error")
        return self.room
