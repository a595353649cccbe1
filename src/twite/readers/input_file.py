"""Where the bytes of a file come from: a file, standard input, or object storage."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from twite.domain.errors import ClientError

STANDARD_INPUT: Final = "-"
# Bytes of standard input, which cannot be read twice, and of files that are not read in parts.
# Their personal data must not reach the disk.
MOST_IN_MEMORY: Final = 256 << 20


class InputFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to send.

    `open` may be called several times, and yields the same bytes each time. `name` shows the kind
    of the file, `location` is for messages, and reports are written next to `path`.
    """

    name: str
    location: str
    path: Path
    open: Callable[[], BinaryIO]
    is_local: bool = False


def local_file(path: Path) -> InputFile:
    return InputFile(
        name=path.name,
        location=str(path),
        path=path,
        open=lambda: path.open("rb"),
        is_local=True,
    )


def standard_input(stream: BinaryIO, *, most: int = MOST_IN_MEMORY) -> InputFile:
    """Read standard input into memory. Raises ClientError if it is too large."""
    content = stream.read(most + 1)
    if len(content) > most:
        raise ClientError(
            f"standard input is larger than {most >> 20} MiB: compress it with gzip or zstd, or "
            "send a file"
        )
    return InputFile(
        name="standard input",
        location="standard input",
        path=Path("stdin"),
        open=lambda: io.BytesIO(content),
    )
