"""Write which packages are shipped, with their licences: CycloneDX and plain text."""

import json
import re
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from source import Source

# Packages whose metadata has no SPDX expression; their licence texts say these.
_READ_IN_THE_TEXT = {
    "google-re2": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "markdown-it-py": "MIT",
    "mdurl": "MIT",
    "pyasn1-modules": "BSD-2-Clause",
    "quickjs-ng": "MIT",
    "segno": "BSD-3-Clause",
    "uvloop": "MIT OR Apache-2.0",
}
_SPELLED = {"Apache 2.0": "Apache-2.0", "ISC License": "ISC", "MIT License": "MIT"}
ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
    }
)
# A script of npm whose file is in the wheel of Twite; the note beside it begins with its version.
_IDIOMORPH = "twite/console/static/idiomorph.txt"
_ITS_VERSION = re.compile(r"of Idiomorph ([0-9.]+), unchanged")
_TEXTS = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ShippedPackage:
    """A package with its licence as an SPDX expression."""

    name: str
    version: str
    summary: str
    licence: str
    texts: tuple[tuple[str, str], ...]
    registry: str = "pypi"


def shipped_packages(folder: Path) -> list[ShippedPackage]:
    """Return the installed packages, and the scripts in Twite's own.

    Fail for a licence that the project does not ship.
    """
    found = [_package(distribution) for distribution in distributions(path=[str(folder)])]
    found.append(_idiomorph(folder / _IDIOMORPH))
    refused = {
        package.name: package.licence
        for package in found
        if not set(re.split(r" (?:AND|OR) ", package.licence)) <= ALLOWED
    }
    if refused:
        raise SystemExit(f"unknown licences, or not allowed ones: {refused}")
    return sorted(found, key=lambda package: package.name)


def _package(distribution: Distribution) -> ShippedPackage:
    about = distribution.metadata
    name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
    written = about.get("License") or ""
    licence = (
        about.get("License-Expression")
        or _READ_IN_THE_TEXT.get(name)
        or _SPELLED.get(written, written)
        or "unknown"
    )
    files = [file for file in distribution.files or () if _TEXTS.search(file.name)]
    texts = [(str(file), Path(str(file.locate())).read_text("utf-8")) for file in files]
    return ShippedPackage(
        name=name,
        version=distribution.version,
        summary=about.get("Summary") or "",
        licence=licence,
        texts=tuple(sorted(texts)),
    )


def _idiomorph(note: Path) -> ShippedPackage:
    text = note.read_text("utf-8")
    version = _ITS_VERSION.search(text)
    if version is None:
        raise SystemExit(f"{note} does not name the version")
    return ShippedPackage(
        name="idiomorph",
        version=version[1],
        summary="Morphs one DOM tree to another; in the pages of the console",
        licence="0BSD",
        texts=((_IDIOMORPH, text),),
        registry="npm",
    )


def write_sbom(folder: Path, file: Path, source: Source) -> None:
    """Write a CycloneDX 1.6 document. Its serial number follows from the content."""
    packages = shipped_packages(folder)
    (main,) = [package for package in packages if package.name == "twite"]
    others = [package for package in packages if package is not main]
    about = {**_component(main), "type": "application"}
    if source.commit:
        about["properties"] = [{"name": "commit", "value": source.commit}]
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": about},
        "components": [_component(package) for package in others],
        "dependencies": [
            {"ref": about["bom-ref"], "dependsOn": [_reference(package) for package in others]}
        ],
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    text = json.dumps({**content, "serialNumber": f"urn:uuid:{serial}"}, indent=2)
    file.write_text(f"{text}\n", "utf-8")


def _reference(package: ShippedPackage) -> str:
    return f"pkg:{package.registry}/{package.name}@{package.version}"


def _component(package: ShippedPackage) -> dict[str, object]:
    is_expression = " " in package.licence
    licence = (
        {"expression": package.licence} if is_expression else {"license": {"id": package.licence}}
    )
    return {
        "type": "library",
        "bom-ref": _reference(package),
        "name": package.name,
        "version": package.version,
        "description": package.summary,
        "licenses": [licence],
        "purl": _reference(package),
    }


def write_licences(folder: Path, file: Path) -> None:
    """Write a table of the packages with their licences, then the text of each licence."""
    packages = shipped_packages(folder)
    width = max(len(f"{package.name} {package.version}") for package in packages)
    lines = ["Packages that Twite ships, and their licences.", ""]
    lines += [
        f"{f'{package.name} {package.version}':{width}}  {package.licence}" for package in packages
    ]
    for package in packages:
        for name, text in package.texts:
            lines += [
                "",
                "=" * 78,
                f"{package.name} {package.version}: {name}",
                "=" * 78,
                "",
                text.rstrip(),
            ]
    file.write_text("\n".join((*lines, "")), "utf-8")
