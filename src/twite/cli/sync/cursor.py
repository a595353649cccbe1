"""The cursor of a sync: until when the orders of a shop have been read, in a file."""

from pathlib import Path

import msgspec

from twite.domain.errors import OperatorError
from twite.machine.private_file import replace_file


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    shop: str
    at: int


class SyncCursor:
    """`at` is in milliseconds, None before the first run, and after a change of the shop.

    Without its file, a sync begins at `paid_since`, or at the deduplication window, which is slower
    but submits no order twice.
    """

    def __init__(self, path: Path, shop: str) -> None:
        self._path = path
        self._shop = shop
        self.at = self._read()

    @classmethod
    def beside(cls, store: Path, webhook: str, shop: str) -> "SyncCursor":
        """Return the cursor of a webhook, in a file next to the store's."""
        return cls(Path(f"{store}.sync-{webhook}"), shop)

    def move(self, at: int) -> None:
        """Store a later time durably. Raises OperatorError."""
        if self.at is not None and at <= self.at:
            return
        try:
            replace_file(self._path, msgspec.json.encode(_Saved(shop=self._shop, at=at)))
        except OSError as error:
            raise OperatorError(
                f"the progress {self._path} cannot be written ({error.strerror}). Make its folder "
                "writable for this user"
            ) from None
        self.at = at

    def _read(self) -> int | None:
        try:
            saved = msgspec.json.decode(self._path.read_bytes(), type=_Saved)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return saved.at if saved.shop == self._shop else None
