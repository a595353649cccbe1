"""Build every package into a folder: `make dist`, or `python deploy/packages --help`."""

import argparse
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from command_tree import command_tree
from completions import write_completions
from debian_package import debian_package
from installed import install_all, install_package
from man_pages import write_man_pages
from pyz import zip_application
from shipped import write_licences, write_sbom
from source import ROOT, Source, build_wheel

PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python deploy/packages", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--pythons", default=" ".join(PYTHONS), help="those that twite.pyz runs on")
    parser.add_argument(
        "--debian-python", default="3.13", help="the version of python3 in the distribution"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="twite-dist-") as work:
        build(
            options.out.resolve(),
            Path(work),
            pythons=options.pythons.split(),
            debian_python=options.debian_python,
        )


def build(out: Path, work: Path, *, pythons: list[str], debian_python: str) -> None:
    source = Source.read()
    os.environ["SOURCE_DATE_EPOCH"] = str(source.epoch)
    print(f"Twite {source.version}, commit {source.commit}")
    wheel = build_wheel(source, out, work)
    folders = {}
    for python in dict.fromkeys((*pythons, debian_python)):
        print(f"Packages for Python {python} …", flush=True)
        folders[python] = install_all(python, work / f"python{python}")
        install_package(wheel, folders[python])
    # With these, pip installs the wheel and its dependencies by their hashes.
    pinned = (ROOT / "requirements/run.txt").read_text("utf-8")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements = out / f"twite-{source.version}-requirements.txt"
    requirements.write_text(f"{pinned}./{wheel.name} --hash=sha256:{digest}\n", "utf-8")
    shipped = folders[debian_python]
    write_sbom(shipped, out / f"twite-{source.version}.cdx.json", source)
    write_licences(shipped, out / f"twite-{source.version}-licences.txt")
    tree = command_tree()
    write_man_pages(tree, out / "man", source)
    write_completions(tree, out / "completions")
    zip_application(
        {python: folders[python] for python in pythons}, out / "twite.pyz", epoch=source.epoch
    )
    debian_package(folders[debian_python], out, work / "debian", source, python=debian_python)
    shutil.rmtree(work / "debian")
    for file in sorted(out.iterdir()):
        if file.is_file():
            print(f"{file.stat().st_size / 1_000_000:8.1f} MB  {file.name}")


main()
