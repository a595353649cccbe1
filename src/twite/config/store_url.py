"""The value of `store.url`: a SQLite file, or the URL of a database server."""

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.stores.factory import ENGINES


class StoreUrl(msgspec.Struct, frozen=True, kw_only=True):
    """An engine and the path of its file, which may be relative to the settings file.

    `server` is the URL of a database server; `path` is then only the base name of local files.
    """

    engine: str
    path: Path
    server: Secret | None = None


def read_store_url(text: str, place: str) -> StoreUrl:
    """Read `sqlite:` and a path, or the URL of a database server."""
    engine, _, name = text.partition(":")
    engine = "postgresql" if engine == "postgres" else engine  # the scheme that many providers use
    if engine not in ENGINES or not name:
        raise SettingsError(
            place,
            'Twite does not support this store. Write "sqlite:" and a path, such as '
            '"sqlite:twite.db", or a URL, such as "postgresql://twite@db.example.com/twite"',
        )
    if ENGINES[engine].is_server:
        database = urlsplit(text).path.strip("/")
        # An @ here is part of a password that contains a slash.
        if not name.startswith("//") or not database or "@" in database:
            raise SettingsError(
                place,
                "is not the URL of a database. Write "
                f"{engine}://USER:PASSWORD@HOST/DATABASE, and encode special characters in the "
                "password: %2F for a slash",
            )
        return StoreUrl(engine=engine, path=Path(f"twite.{engine}"), server=Secret(text))
    # sqlite:///absolute is the usual spelling of URLs.
    name = name.removeprefix("//") if name.startswith("///") else name
    if ":memory:" in name:
        raise SettingsError(
            place, "a store in memory would lose acknowledged conversions. Write the path of a file"
        )
    return StoreUrl(engine=engine, path=Path(name))


def refuse_shared_file(store: StoreUrl, processes: int, place: str) -> None:
    """Raise SettingsError if several processes would share a SQLite file."""
    if processes > 1 and store.server is None:
        raise SettingsError(
            place,
            f"{processes} processes cannot share a SQLite file. Set store.url to a "
            "PostgreSQL database, or run one process",
        )
