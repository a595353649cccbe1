"""`twite import`: write an export as container.toml and templates; put secrets into the store.

The first line of container.toml, `# twite import <digest>`, contains a digest of all written files.
If a file was changed by hand, the digest differs, and `twite import` does not overwrite it. Only
their owner can read the files and new folders.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import msgspec

from twite.domain.errors import SettingsError
from twite.gateway.ports.secret_store import CONTAINER
from twite.machine.private_file import replace_file
from twite.redaction.vocabulary import person_in
from twite.tags.container.parts import Container, ContainerUnusable, VariableSource
from twite.tags.container.toml_file import TemplateFile, container_text
from twite.tags.engines.process.code_check import CodeCheck
from twite.tags.importer.importing import ImportResult, imported
from twite.tags.importer.reading import LARGEST, read_export
from twite.tags.importer.report import ReportLine
from twite.tags.importer.secrets_out import nobodys, sealed_name, variable_name
from twite.tags.redaction.secrets import masked
from twite.tags.settings.containers import SEALED, read_container

Keep = Literal["sealed", "env"]
FILE: Final = "container.toml"
_FOLDER: Final = "templates"
_MARK: Final = "# twite import "
_REMARKS: Final = "Not converted, with the reason:"


class ContainerChange(msgspec.Struct, frozen=True, kw_only=True):
    """A difference from the previous file: `what` is added, changed or removed."""

    kind: str
    name: str
    what: Literal["added", "changed", "removed"]


class PersonVariable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable that reads personal data, which is hashed unless tag payloads are sealed."""

    variable: str
    key: str


class ImportDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An import before it is written. `files` maps paths in the folder to contents."""

    folder: Path
    found: ImportResult
    files: Mapping[str, str]
    changes: tuple[ContainerChange, ...]
    is_first: bool
    left_behind: tuple[str, ...]  # sealed by the previous import, and not used by this one

    @property
    def path(self) -> Path:
        """The path of container.toml."""
        return self.folder / FILE


def draft(
    export: Path,
    folder: Path,
    *,
    keep: Keep,
    named: Sequence[str] = (),
    overwrite: bool = False,
    near: Path = Path(),
) -> ImportDraft:
    """Read an export and prepare the files; `near` is the folder of the settings.

    Raises SettingsError.
    """
    found = _imported(export, keep, frozenset(named), within=os.path.relpath(folder, near))
    files = _files(found)
    before = _before(folder)
    if before is not None and not overwrite:
        _refuse_changed_by_a_person(folder, before)
    return ImportDraft(
        folder=folder,
        found=found,
        files=files,
        changes=tuple(_changes(folder, found.container)),
        is_first=before is None,
        left_behind=tuple(sorted(_sealed_in(before or "") - _sealed_in(files[FILE]))),
    )


def no_more_needed(draft: ImportDraft, running: Path | None) -> tuple[str, ...]:
    """Return the sealed secrets to delete.

    `running` is the container in the settings: its secrets are kept, because its file may have been
    moved here from another folder.
    """
    if running is None or running.resolve() == draft.path.resolve():
        return draft.left_behind
    kept = _sealed_in(_before(running.parent, running.name) or "")
    return tuple(name for name in draft.left_behind if name not in kept)


def of_persons(container: Container) -> tuple[PersonVariable, ...]:
    """Return the variables that read personal data of the event, such as an email or a name."""
    return tuple(
        PersonVariable(variable=variable.name, key=variable.key)
        for variable in container.variables
        if variable.type is VariableSource.EVENT_DATA and person_in(variable.key) is not None
    )


def write(draft: ImportDraft) -> None:
    """Write the files: the templates first, then container.toml. Raises SettingsError."""
    for name, text in draft.files.items():
        path = draft.folder / name
        try:
            _make(path.parent)
            replace_file(path, text.encode())
        except OSError as error:
            message = f"cannot be written ({error.strerror}). Choose another folder with --out"
            raise SettingsError(str(path), message) from None


def _imported(source: Path, keep: Keep, named: frozenset[str], *, within: str) -> ImportResult:
    def place_of(place: str) -> str:
        if keep == "sealed":
            return f"{SEALED}{CONTAINER}{sealed_name(place, folder=within)}"
        return f"env:{variable_name(place)}"

    try:
        with source.open("rb") as file:
            content = file.read(LARGEST + 1)
        export = read_export(content)
        with CodeCheck() as code_check:
            found = imported(export, named=named, place_of=place_of, try_out=code_check.check)
    except OSError as error:
        message = f"cannot be read ({error.strerror})"
        raise SettingsError(str(source), message) from None
    except ContainerUnusable as error:
        place = f"{source}: {error.place}" if error.place else str(source)
        # Anything in the export may be a secret.
        raise SettingsError(masked(place), masked(error.message)) from None
    _refuse_nobodys(found, named)
    return found


def _refuse_nobodys(result: ImportResult, named: frozenset[str]) -> None:
    """Refuse unknown secret names: a misspelling would silently leave a secret in plain text."""
    nobody = nobodys(result.container, named)
    if nobody:
        raise SettingsError(
            f"--secret {nobody[0]}",
            "no field, row or variable of the container has this name. Write a field, "
            "TAG.FIELD, or a variable, as the tag manager spells it",
        )


def _files(result: ImportResult) -> dict[str, str]:
    names = dict(_file_names(result.texts))
    remarks = [_REMARKS, *(_remark(line) for line in result.lines if line.fit == "left out")]
    text = container_text(
        result.container,
        [TemplateFile(name=name, file=file) for name, file in names.items()],
        remarks=remarks if len(remarks) > 1 else (),
    )
    files = {file: result.texts[name] for name, file in names.items()}
    return {**files, FILE: f"{_MARK}{_digest(text, files)}\n\n{text}"}


def _remark(line: ReportLine) -> str:
    named = f" {line.name!r}" if line.name else ""
    return f"- {line.kind}{named} ({line.word}): {'; '.join(line.notes)}"


def _file_names(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    used = set()
    for at, name in enumerate(texts, 1):
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:60].strip("-") or f"template-{at}"
        # Some file systems ignore case in file names; these names are all lower-case.
        while slug in used:
            slug = f"{slug}-{at}"
        used.add(slug)
        yield name, f"{_FOLDER}/{slug}.tpl"


def _digest(text: str, files: Mapping[str, str]) -> str:
    whole = sha256(text.encode())
    for name in sorted(files):
        whole.update(f"\0{name}\0{files[name]}".encode())
    return whole.hexdigest()[:16]


def _sealed_in(text: str) -> set[str]:
    """Return the names of the sealed secrets to which a container.toml refers."""
    return set(re.findall(f'"{SEALED}({CONTAINER}[A-Za-z0-9/-]+)"', text))


def _before(folder: Path, name: str = FILE) -> str | None:
    path = folder / name
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise SettingsError(
            str(path), "exists and cannot be read as text. Choose another folder with --out"
        ) from None


def _refuse_changed_by_a_person(folder: Path, text: str) -> None:
    head, _, rest = text.partition("\n\n")
    files = {}
    for name in re.findall(r'^file = "([^"\n]+\.tpl)"$', rest, re.MULTILINE):
        try:
            files[name] = (folder / name).read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            files[name] = ""
    if head != f"{_MARK}{_digest(rest, files)}":
        raise SettingsError(
            str(folder / FILE),
            "this file, or a template next to it, was changed since the last `twite "
            "import`. Use --overwrite to replace the changes, or --out to choose another folder",
        )


def _changes(folder: Path, new_container: Container) -> Iterator[ContainerChange]:
    try:
        old, _ = read_container(folder / FILE)
    except SettingsError:
        old = Container()
    for kind in ("client", "variable", "trigger", "tag", "transformation"):
        had = {part.name: part for part in getattr(old, f"{kind}s")}
        has = {part.name: part for part in getattr(new_container, f"{kind}s")}
        yield from _differences(kind, had, has)
    yield from _differences("template", old.templates, new_container.templates)


def _differences(
    kind: str, had: Mapping[str, object], has: Mapping[str, object]
) -> Iterator[ContainerChange]:
    for name in [*has, *(former for former in had if former not in has)]:
        if name not in had:
            yield ContainerChange(kind=kind, name=name, what="added")
        elif name not in has:
            yield ContainerChange(kind=kind, name=name, what="removed")
        elif had[name] != has[name]:
            yield ContainerChange(kind=kind, name=name, what="changed")


def _make(folder: Path) -> None:
    """Create a folder and its missing parents, readable by the owner alone."""
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
