"""Build the Debian package with dpkg-deb."""

import gzip
import hashlib
import shutil
import subprocess
from pathlib import Path

from source import ROOT, Source

_PARTS = Path(__file__).with_name("debian")
_HOME = Path("usr/lib/twite")
_SCRIPTS = ("postinst", "prerm", "postrm")
_CONTROL = """\
Package: twite
Version: {version}
Architecture: {architecture}
Maintainer: The Twite developers
Installed-Size: {size}
Depends: python3 (>= {python}), python3 (<< {next}), ca-certificates, systemd
Section: net
Priority: optional
Description: self-hosted conversion gateway for X
 Twite commits each conversion to disk before it acknowledges the request,
 sends the conversion to X's Conversion API once, and keeps a history of every
 attempt. The package contains the gateway with its Python packages, a
 systemd service, and a timer for backups.
"""


def debian_package(packages: Path, out: Path, tree: Path, source: Source, *, python: str) -> Path:
    """`packages` are those for this version of Python; `out` has the other results of the build."""
    _place_program(packages, tree, python)
    _place_service(tree)
    _place_documents(out, tree, source)
    _place_control(tree, source, python)
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or _is_program(path, tree) else 0o644)
    tree.joinpath("etc/twite/environment").chmod(0o600)
    architecture = _architecture()
    file = out / f"twite_{source.version}_{architecture}.deb"
    command = ["dpkg-deb", "-Zzstd", "--root-owner-group", "--build", str(tree), str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return file


def _place_program(packages: Path, tree: Path, python: str) -> None:
    """Lay out a virtual environment by hand: no path of this machine gets into it."""
    home = tree / _HOME
    shutil.copytree(
        packages,
        home / f"lib/python{python}/site-packages",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    home.joinpath("bin").mkdir()
    home.joinpath("bin/python3").symlink_to("/usr/bin/python3")
    home.joinpath("pyvenv.cfg").write_text(
        "home = /usr/bin\ninclude-system-site-packages = false\n", "utf-8"
    )
    _copy(_PARTS / "twite", tree / "usr/bin/twite")


def _place_service(tree: Path) -> None:
    for unit in sorted((ROOT / "deploy/systemd").iterdir()):
        _copy(unit, tree / "usr/lib/systemd/system" / unit.name)
    _copy(_PARTS / "sysusers.conf", tree / "usr/lib/sysusers.d/twite.conf")
    _copy(_PARTS / "tmpfiles.conf", tree / "usr/lib/tmpfiles.d/twite.conf")
    _copy(_PARTS / "environment", tree / "etc/twite/environment")


def _place_documents(out: Path, tree: Path, source: Source) -> None:
    share = tree / "usr/share"
    for page in sorted((out / "man").iterdir()):
        _compress(page.read_bytes(), share / f"man/man1/{page.name}.gz")
    completions = out / "completions"
    _copy(completions / "twite.bash", share / "bash-completion/completions/twite")
    _copy(completions / "_twite", share / "zsh/vendor-completions/_twite")
    _copy(completions / "twite.fish", share / "fish/vendor_completions.d/twite.fish")
    documents = share / "doc/twite"
    _compress(ROOT.joinpath("CHANGELOG.md").read_bytes(), documents / "changelog.gz")
    _copy(out / f"twite-{source.version}.cdx.json", documents / "sbom.cdx.json")
    licences = out.joinpath(f"twite-{source.version}-licences.txt").read_text("utf-8")
    own = ROOT.joinpath("LICENSE").read_text("utf-8")
    documents.joinpath("copyright").write_text(f"{own}\n\n{licences}", "utf-8")
    for file in (
        "examples/orders.csv",
        "deploy/grafana/twite.json",
        "deploy/prometheus/twite.rules.yml",
        "deploy/proxies/Caddyfile",
        "deploy/proxies/haproxy.cfg",
        "deploy/proxies/nginx.conf",
    ):
        _copy(ROOT / file, documents / "examples" / Path(file).name)


def _place_control(tree: Path, source: Source, python: str) -> None:
    control = tree / "DEBIAN"
    control.mkdir()
    files = [file for file in tree.rglob("*") if file.is_file() and control not in file.parents]
    major, minor = python.split(".")
    control.joinpath("control").write_text(
        _CONTROL.format(
            version=source.version,
            architecture=_architecture(),
            size=sum(file.lstat().st_size for file in files) // 1024,
            python=python,
            next=f"{major}.{int(minor) + 1}",
        ),
        "utf-8",
    )
    control.joinpath("conffiles").write_text("/etc/twite/environment\n", "utf-8")
    sums = [
        f"{hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()}  {name}\n"
        for name, file in sorted((str(file.relative_to(tree)), file) for file in files)
        if not file.is_symlink() and not name.startswith("etc/")
    ]
    control.joinpath("md5sums").write_text("".join(sums), "utf-8")
    for name in _SCRIPTS:
        _copy(_PARTS / name, control / name)


def _is_program(path: Path, tree: Path) -> bool:
    return path == tree / "usr/bin/twite" or (
        path.name in _SCRIPTS and path.parent.name == "DEBIAN"
    )


def _architecture() -> str:
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _compress(content: bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(content, mtime=0))
