"""Write twite.pyz: one file with the packages for several versions of Python."""

import hashlib
import time
import zipfile
from collections import Counter
from pathlib import Path

_MAIN = Path(__file__).with_name("pyz_main.py")
_START = b"#!/usr/bin/env python3\n"


def zip_application(folders: dict[str, Path], out: Path, *, epoch: int) -> None:
    """`folders` are the packages by version of Python. Equal files are stored once, in `all`."""
    found = {python: _files(folder) for python, folder in folders.items()}
    many = Counter((name, content) for files in found.values() for name, content in files.items())
    members = {"__main__.py": _MAIN.read_bytes()}
    for python, files in found.items():
        for name, content in files.items():
            is_shared = many[name, content] == len(folders)
            members[f"{'all' if is_shared else python}/{name}"] = content
    digest = hashlib.sha256()
    for name, content in sorted(members.items()):
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    members["build"] = " ".join((digest.hexdigest()[:16], *folders)).encode()
    with out.open("wb") as file:
        file.write(_START)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in sorted(members.items()):
                member = zipfile.ZipInfo(name, time.gmtime(epoch)[:6])
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = 0o100644 << 16
                packed.writestr(member, content)
    out.chmod(0o755)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
