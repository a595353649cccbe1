"""What `make dist` builds, tried with one version of Python. The wheel comes from `hatchling`."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from installed_twite import InstalledTwite

from twite import __version__
from twite.cli.groups import SUMMARIES

ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
EPOCH = "1790000000"
SOURCE = {"SOURCE_DATE_EPOCH": EPOCH, "TWITE_COMMIT": "1a2b3c4d5e6f"}
NO_INDEX = ("No matching distribution", "Could not find a version", "NewConnectionError")


def build(out):
    command = [sys.executable, str(ROOT / "deploy/packages"), "--out", str(out)]
    environment = {
        **os.environ,
        **SOURCE,
        # A better compression takes long.
        "DPKG_DEB_COMPRESSOR_LEVEL": "1",
    }
    built = subprocess.run(
        [*command, "--pythons", PYTHON, "--debian-python", PYTHON],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if any(words in built.stderr for words in NO_INDEX):
        pytest.skip("no package index is reachable")
    assert built.returncode == 0, built.stderr
    return out


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb")
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def debian(packages):
    """The unpacked Debian package."""
    (package,) = packages.glob("twite_*.deb")
    tree = packages / "unpacked"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    return tree


def test_pyz_file_runs_the_demo_without_other_packages(packages, tmp_path):
    twite = InstalledTwite(sys.executable, "-I", str(packages / "twite.pyz"), folder=tmp_path)

    assert twite.run("--version") == f"twite {__version__} (commit 1a2b3c4d5e6f)\n"
    assert "the balance is 0" in twite.run("demo")
    (unpacked,) = tmp_path.glob(".cache/twite/*")
    assert (unpacked / "bin/python").resolve() == Path(sys.executable).resolve()


def test_pyz_file_names_the_versions_of_python_that_it_runs_on(packages, tmp_path):
    pyz = tmp_path / "twite.pyz"
    with zipfile.ZipFile(packages / "twite.pyz") as packed, zipfile.ZipFile(pyz, "w") as other:
        other.writestr("__main__.py", packed.read("__main__.py"))
        other.writestr("build", "0123456789abcdef 3.99 3.100")

    command = [sys.executable, "-I", str(pyz), "--version"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 1
    assert ran.stderr.startswith(
        f"Error: twite.pyz runs on Python 3.99, 3.100, and this is Python {PYTHON} "
    )


def test_pyz_file_says_where_it_cannot_unpack(packages, tmp_path):
    (tmp_path / "cache").write_text("")
    command = [sys.executable, "-I", str(packages / "twite.pyz"), "--version"]
    environment = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "cache")}

    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert ran.returncode == 1
    assert ran.stderr.startswith(f"Error: {tmp_path}/cache/twite cannot be written (")
    assert "Set XDG_CACHE_HOME" in ran.stderr


def test_wheel_and_source_distribution_are_reproducible(packages, tmp_path):
    with tarfile.open(packages / f"twite-{__version__}.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
        times = {member.mtime for member in packed.getmembers()}
    again = tmp_path / "again"
    hatchling = (sys.executable, "-m", "hatchling", "build")
    # Again, with another umask; the wheel elsewhere, from the source distribution.
    for target, folder in (("sdist", ROOT), ("wheel", tmp_path / f"twite-{__version__}")):
        subprocess.run(
            ["sh", "-c", 'umask 077; exec "$@"', "-", *hatchling, "-t", target, "-d", str(again)],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **SOURCE},
            check=True,
        )

    assert times == {int(EPOCH)}
    assert {
        file.name: file.read_bytes() == (packages / file.name).read_bytes()
        for file in again.iterdir()
    } == {
        f"twite-{__version__}.tar.gz": True,
        f"twite-{__version__}-py3-none-any.whl": True,
    }


def test_wheel_contains_only_the_package(packages):
    with zipfile.ZipFile(packages / f"twite-{__version__}-py3-none-any.whl") as packed:
        names = packed.namelist()

    assert {name.split("/")[0] for name in names} == {
        "twite",
        "twite_emulator",
        f"twite-{__version__}.dist-info",
    }
    assert {"twite/commit.txt", "twite/cli/orders.csv"} <= set(names)
    assert [name for name in names if "__pycache__" in name] == []


def test_bill_of_materials_lists_the_pinned_packages(packages):
    content = json.loads((packages / f"twite-{__version__}.cdx.json").read_text())
    pinned = re.findall(
        r"^([\w.-]+)==(\S+) (?!; sys_platform == 'win32')",
        (ROOT / "requirements/run.txt").read_text(),
        re.MULTILINE,
    )

    assert (content["bomFormat"], content["specVersion"]) == ("CycloneDX", "1.6")
    assert content["metadata"]["component"]["properties"] == [
        {"name": "commit", "value": "1a2b3c4d5e6f"}
    ]
    assert {part["purl"] for part in content["components"]} == {
        "pkg:npm/idiomorph@0.8.0",  # a script in the package itself
        *(f"pkg:pypi/{name}@{version}" for name, version in pinned),
    }


def test_every_bundled_package_has_its_licence_text(packages):
    report = (packages / f"twite-{__version__}-licences.txt").read_text()
    table = report.split("\n\n")[1].splitlines()

    assert f"twite {__version__}" in report
    without = [line for line in table if f"\n{' '.join(line.split()[:2])}: " not in report]
    assert without == []


def test_every_command_has_a_man_page(packages):
    names = {file.name for file in (packages / "man").iterdir()}

    assert names == {"twite.1", *(f"twite-{name}.1" for name in SUMMARIES)}


def test_man_pages_have_no_errors(packages):
    if shutil.which("man") is None:
        pytest.skip("no man")
    for page in sorted((packages / "man").iterdir()):
        shown = subprocess.run(
            ["man", "--warnings", "--encoding=UTF-8", "--local-file", str(page)],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stderr == ""
        assert "EXIT STATUS" in shown.stdout


COMPLETED = [
    ("twite se", {"send", "serve"}),
    ("twite user ad", {"add"}),
    ("twite user add --role ", {"viewer", "operator", "admin"}),
    ("twite show --j", {"--json"}),
    ("twite init --config twi", {"twite.toml"}),
]


@pytest.mark.parametrize(("line", "words"), COMPLETED)
def test_bash_completes_commands_options_and_values(packages, tmp_path, line, words):
    (tmp_path / "twite.toml").touch()
    program = """
        source "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _twite; printf '%s\\n' "${COMPREPLY[@]}"
    """
    script = packages / "completions/twite.bash"
    found = subprocess.run(
        ["bash", "-c", program, "-", str(script), *line.split(" ")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert (set(found.stdout.split()), found.stderr) == (words, "")


def test_debian_package_installs_its_files(debian):
    program = debian / "usr/bin/twite"
    home = debian / "usr/lib/twite"

    assert program.read_text().startswith("#!/usr/lib/twite/bin/python3 -I\n")
    assert program.stat().st_mode & 0o777 == 0o755
    assert (home / "bin/python3").readlink() == Path("/usr/bin/python3")
    assert (home / f"lib/python{PYTHON}/site-packages/twite/__main__.py").is_file()
    assert (debian / "DEBIAN/conffiles").read_text() == "/etc/twite/environment\n"
    assert list(debian.rglob("*.pyc")) == []
    for file in (
        "usr/lib/systemd/system/twite.service",
        "usr/lib/systemd/system/twite-backup.timer",
        "usr/lib/sysusers.d/twite.conf",
        "usr/lib/tmpfiles.d/twite.conf",
        "usr/share/bash-completion/completions/twite",
        "usr/share/doc/twite/copyright",
        "usr/share/man/man1/twite.1.gz",
        "usr/share/man/man1/twite-serve.1.gz",
    ):
        assert (debian / file).is_file(), file


def test_debian_package_contains_no_path_of_the_build(debian, packages):
    folder = str(packages).encode()

    assert [
        file for file in debian.rglob("*") if file.is_file() and folder in file.read_bytes()
    ] == []


def test_debian_package_requires_the_python_of_its_libraries(debian):
    control = (debian / "DEBIAN/control").read_text()
    above = f"3.{sys.version_info.minor + 1}"

    assert f"Depends: python3 (>= {PYTHON}), python3 (<< {above}), " in control
    assert f"\nVersion: {__version__}\n" in control
