"""The commit that the running code was built from."""

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE: Final = "commit.txt"  # hatch_build.py adds it to the package
_SECONDS: Final = 5


def commit() -> str | None:
    """Return the abbreviated commit of an installed package or of a checkout, if it is known."""
    package = Path(__file__).parents[1]
    with suppress(OSError):
        return package.joinpath(FILE).read_text("ascii").strip() or None
    return checked_out(package.parents[1])


def checked_out(folder: Path) -> str | None:
    """Return the commit of a checkout, with "-dirty" after changes; None without git."""
    # Git would also find the repository of a folder above.
    if not folder.joinpath(".git").exists():
        return None
    words = ("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    with suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(  # noqa: S603  # constant arguments
            ["git", "-C", str(folder), *words],  # noqa: S607  # the user's git
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
        return found.stdout.strip() or None
    return None
