"""Load a server container from its file, with its templates and secrets."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from twite.config.reader import Reader
from twite.config.secret_key import VARIABLE
from twite.config.templates import load_template
from twite.domain.errors import SettingsError
from twite.gateway.ports.secret_store import CONTAINER, SecretStore
from twite.gtm.container.faults import faults
from twite.gtm.container.parts import Container, ContainerUnusable
from twite.gtm.container.secrets import opened
from twite.gtm.container.toml_file import TemplateFile, container_of_toml

SEALED: Final = "sealed:"


def load_container(path: Path) -> Container:
    """Read a container and its templates, without secrets. Raises SettingsError."""
    container, _ = read_container(path)
    wrong = list(faults(container))
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise _placed(path, wrong[0], more)
    return container


def read_container(path: Path) -> tuple[Container, tuple[TemplateFile, ...]]:
    """Read it without checking whether its parts fit together. Raises SettingsError."""
    try:
        container, files = container_of_toml(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(
            place=str(path),
            message=f"cannot be read ({error.strerror}). `twite import` writes one; "
            "container.file of twite.toml names it",
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(place=str(path), message="not UTF-8 text") from None
    except ContainerUnusable as error:
        raise _placed(path, error) from None
    templates = {file.name: load_template(path.parent / file.file) for file in files}
    if len(templates) != len(files):
        raise SettingsError(place=f"{path}: template", message="two have the same name")
    return msgspec.structs.replace(container, templates=templates), files


async def sealed_secrets(secret_store: SecretStore | None) -> dict[str, str]:
    """Return the container's sealed secrets from the store, by name. Raises NotOpened."""
    held = [] if secret_store is None else await secret_store.all(CONTAINER)
    return {name: plain.decode() for name, plain in held}


def secret_reader(
    path: Path, environ: Mapping[str, str], sealed: Mapping[str, str]
) -> Callable[[str], str]:
    """Return a function that reads a secret of the container in `path`. It raises SettingsError."""
    reader = Reader(environ=environ, folder=path.parent)

    def secret_at(kept: str) -> str:
        if not kept.startswith(SEALED):
            if not kept.startswith(("env:", "file:")):
                raise SettingsError(
                    place=f"{path}: secrets",
                    message='a secret is named by where it is kept: "sealed:NAME", "env:NAME" '
                    'or "file:PATH"',
                )
            return reader.elsewhere(kept, f"{path}: secrets")
        name = kept.removeprefix(SEALED)
        if name not in sealed:
            raise SettingsError(
                place=f"{path}: secrets",
                message=f"the store holds no {name!r}. `twite import` puts it there (with the "
                f"same {VARIABLE} as here)",
            )
        return sealed[name]

    return secret_at


def with_secrets(
    container: Container, *, path: Path, environ: Mapping[str, str], sealed: Mapping[str, str]
) -> Container:
    """Insert the container's secrets. Raises SettingsError for a missing one.

    A secret may refer to variables; a reference to an unknown variable is refused by its place, and
    never shown.
    """
    try:
        whole = opened(container, secret_reader(path, environ, sealed))
    except ContainerUnusable as error:
        raise _placed(path, error) from None
    wrong = next(faults(whole), None) if next(faults(container), None) is None else None
    if wrong is not None:
        raise SettingsError(
            place=f"{path}: {wrong.place}",
            message=(
                "the secret inserted there contains a {{name}} that is not a variable, or is not a "
                "regular expression where one is needed"
            ),
        )
    return whole


def _placed(path: Path, error: ContainerUnusable, more: str = "") -> SettingsError:
    place = f"{path}: {error.place}" if error.place else str(path)
    return SettingsError(place=place, message=error.message + more)
