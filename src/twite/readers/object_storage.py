"""Files in object storage: Amazon S3, Google Cloud Storage, Azure Blob Storage. Exports write them.

obstore reads credentials and endpoints from the environment, like the providers' own tools:
AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME, and so on.
"""

import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

import msgspec

from twite.domain.errors import OperatorError
from twite.readers.input_file import InputFile

if TYPE_CHECKING:
    from types import ModuleType

SCHEMES: Final = frozenset({"s3", "gs", "az"})
_CHUNK: Final = 1 << 20
_LONGEST_REASON: Final = 200
_CONDITIONAL: Final = "Unset AWS_CONDITIONAL_PUT, or use a provider that knows If-Match"
_REQUEST_URL: Final = re.compile(r"https?://\S+")


class StorageUnusable(OperatorError):
    """Object storage cannot be used: the package is missing, or the provider refused."""


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an object. `path` is relative to the bucket, `size` in bytes."""

    path: str
    etag: str
    size: int


class ReadObject(msgspec.Struct, frozen=True, kw_only=True):
    """The content of an object. `version` names what was read, for a conditional write."""

    content: bytes
    version: Mapping[str, str]


class ObjectChanged(StorageUnusable):
    """An object is not the version that was to be replaced."""


def is_object_url(text: str) -> bool:
    return urlsplit(text).scheme in SCHEMES


class ObjectStorage:
    """Lists and reads the objects at a URL: one object, or all below a prefix that ends in `/`."""

    def __init__(self, url: str, find: "Callable[[str], ModuleType]" = import_module) -> None:
        """Raises StorageUnusable."""
        parts = urlsplit(url)
        self._root = f"{parts.scheme}://{parts.netloc}"
        self._key = parts.path.lstrip("/")
        try:
            # They have no types of their own.
            self._obstore: Any = find("obstore")
            stores: Any = find("obstore.store")
        except ImportError:
            raise StorageUnusable(
                f"{parts.scheme}:// needs the package obstore, which is not installed in twite's "
                f"environment: run `{sys.executable} -m pip install obstore`"
            ) from None
        with _explained(self._root, self._obstore):
            self._store = stores.from_url(self._root)

    def objects(self) -> Sequence[StoredObject]:
        """Return the objects, ordered by path. Raises StorageUnusable."""
        with _explained(self._root, self._obstore):
            if self._key and not self._key.endswith("/"):
                return [_stored(self._obstore.head(self._store, self._key))]
            pages = self._obstore.list(self._store, prefix=self._key or None)
            found = [_stored(meta) for page in pages for meta in page]
        files = (each for each in found if each.size and not self._is_marker(each.path))
        return sorted(files, key=lambda each: each.path)

    def _is_marker(self, path: str) -> bool:
        """Whether a path below the prefix is a folder, or as hidden as Hadoop's `_SUCCESS`."""
        names = path.removeprefix(self._key).split("/")
        return not names[-1] or any(name.startswith(("_", ".")) for name in names)

    def file(self, stored: StoredObject) -> InputFile:
        """Return an object as a file. If it is overwritten, reading it raises StorageUnusable."""
        location = f"{self._root}/{stored.path}"
        return InputFile(
            name=stored.path.rpartition("/")[2],
            location=location,
            path=Path(location.partition("://")[2].replace("/", "-")),
            open=lambda: self._open(stored),
        )

    def read(self, name: str) -> ReadObject | None:
        """Return an object below the prefix; None if there is none. Raises StorageUnusable."""
        path = self._key + name
        missing = self._obstore.exceptions.NotFoundError, FileNotFoundError
        with _explained(f"{self._root}/{path}", self._obstore):
            try:
                found = self._obstore.get(self._store, path)
                return ReadObject(content=bytes(found.bytes()), version=_version(found.meta))
            except missing:
                # A bucket that does not exist is found by the first `put`.
                return None

    def put(self, name: str, content: bytes) -> None:
        """Write an object below the prefix, or replace it. Raises StorageUnusable."""
        path = self._key + name
        with _explained(f"{self._root}/{path}", self._obstore):
            self._obstore.put(self._store, path, content)

    def replace(
        self, name: str, content: bytes, replaced: Mapping[str, str] | None
    ) -> Mapping[str, str]:
        """Write an object, if it still is the version `replaced`, or does not exist if None.

        Returns its version. Raises ObjectChanged if it is another one, and StorageUnusable.
        """
        location = f"{self._root}/{self._key}{name}"
        errors = self._obstore.exceptions
        changed = errors.AlreadyExistsError, errors.PreconditionError, errors.NotFoundError
        mode = "create" if replaced is None else dict(replaced)
        with _explained(location, self._obstore):
            try:
                return _version(
                    self._obstore.put(self._store, self._key + name, content, mode=mode)
                )
            except (*changed, FileExistsError, FileNotFoundError):
                pass
        # obstore repeats a request without a response, and the first one may have succeeded.
        found = self.read(name)
        if found is None and replaced is None:
            raise StorageUnusable(f"{location}: there is no such object or bucket")
        if found is None or found.content != content:
            raise ObjectChanged(f"{location}: another process wrote it at the same time")
        return found.version

    def _open(self, stored: StoredObject) -> BinaryIO:
        location = f"{self._root}/{stored.path}"
        with _explained(location, self._obstore):
            result = self._obstore.get(
                self._store, stored.path, options={"if_match": stored.etag} if stored.etag else {}
            )
            chunks = result.stream(min_chunk_size=_CHUNK)
        raw = _ObjectStream(_chunks(chunks, location, self._obstore))
        return cast("BinaryIO", io.BufferedReader(raw, _CHUNK))


class _ObjectStream(io.RawIOBase):
    """Reads the chunks of an object. Reads ahead no more than one."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # a writable buffer
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _chunks(chunks: Iterator[Any], location: str, obstore: Any) -> Iterator[bytes]:  # noqa: ANN401
    with _explained(location, obstore):
        for chunk in chunks:
            yield bytes(chunk)


def _stored(meta: Any) -> StoredObject:  # noqa: ANN401  # a dictionary of obstore
    return StoredObject(path=meta["path"], etag=meta["e_tag"] or "", size=meta["size"])


def _version(meta: Any) -> Mapping[str, str]:  # noqa: ANN401  # a dictionary of obstore
    parts = {name: meta[name] for name in ("e_tag", "version")}
    return {name: part for name, part in parts.items() if part is not None}


class _explained:  # noqa: N801  # a context manager
    """Turn obstore's errors into StorageUnusable. Its messages have lines of details."""

    def __init__(self, location: str, obstore: Any) -> None:  # noqa: ANN401
        self._location = location
        self._errors = obstore.exceptions

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, self._errors.BaseError | OSError | NotImplementedError):
            raise StorageUnusable(f"{self._location}: {self._reason(error)}") from None

    def _reason(self, error: BaseException) -> str:
        errors = self._errors
        known = (
            ((errors.NotFoundError, FileNotFoundError), "there is no such object or bucket"),
            (errors.PreconditionError, "the object was overwritten while Twite read it: try again"),
            (
                (errors.PermissionDeniedError, errors.UnauthenticatedError, PermissionError),
                "access was denied. Check the credentials in the environment",
            ),
        )
        for kinds, reason in known:
            if isinstance(error, kinds):
                return reason
        if isinstance(error, NotImplementedError) or "501 Not Implemented" in str(error):
            return f"the provider refuses conditional writes, which an export needs. {_CONDITIONAL}"
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        if "404 Not Found" in first:
            return "there is no such object or bucket"
        # The URL of a request may contain a signature.
        return f"the request failed: {_REQUEST_URL.sub('…', first)[:_LONGEST_REASON]}"
