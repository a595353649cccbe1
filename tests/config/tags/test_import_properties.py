"""Properties of imports: every part that the report calls running can run."""

import asyncio
import json
import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from any_export import AnyExport
from twite.config.settings import load
from twite.domain.errors import SettingsError
from twite.tags.app.container_secrets import keep_secrets, sealing_key
from twite.tags.app.importer import draft, write
from twite.tags.checks.container import container
from twite.tags.settings.containers import SEALED, load_container

SETTINGS = """\
[server]
secret_key = "a-key-that-seals-and-is-long-enough"
[container]
file = "out/container.toml"
"""
KINDS = ("client", "variable", "trigger", "tag", "transformation")


def put(folder, tree):
    path = Path(folder) / "export.json"
    path.write_text(json.dumps(tree))
    return path


async def found_by(settings):
    return [finding async for finding in container(settings)]


@examples(max_examples=25)
@given(seed=st.integers(0, 2**48))
def test_imported_container_loads_and_passes_the_checks(seed):
    tree = AnyExport(random.Random(seed)).whole()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "twite.toml").write_text(SETTINGS)
        settings = load(folder / "twite.toml", {}, credentials=False)
        made = draft(put(folder, tree), folder / "out", keep="sealed")
        write(made)
        secrets = {secret.kept.removeprefix(SEALED): secret.secret for secret in made.found.secrets}
        seal = sealing_key(settings)
        asyncio.run(keep_secrets(settings, seal, secrets, by="ada (command)", container="GTM-1"))
        loaded = load_container(made.path)
        findings = asyncio.run(found_by(settings))

    there = {kind: {part.name for part in getattr(loaded, f"{kind}s")} for kind in KINDS}
    reported = {
        kind: {
            line.name for line in made.found.lines if line.kind == kind and line.fit != "left out"
        }
        for kind in ("template", *KINDS)
    }
    assert {"template": set(loaded.templates), **there} == reported
    assert [finding for finding in findings if str(finding.status) == "failed"] == []


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_imported_files_are_readable_only_by_their_owner(tmp_path, umask):
    made = draft(
        put(tmp_path, AnyExport(random.Random(1)).whole()), tmp_path / "new/out", keep="env"
    )

    before = os.umask(umask)
    try:
        write(made)
    finally:
        os.umask(before)

    written = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    modes = {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in written}
    assert modes == {(True, "0o700"), (False, "0o600")}


def test_refusal_of_an_import_does_not_contain_the_secret(tmp_path):
    secret = "px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5"
    tree = AnyExport(random.Random(1)).whole()
    parameter = {"type": secret, "key": "a", "value": "b"}
    tree["containerVersion"]["variable"] = [{"name": "V", "type": "c", "parameter": [parameter]}]

    with pytest.raises(SettingsError) as refused:
        draft(put(tmp_path, tree), tmp_path, keep="env")

    assert secret not in str(refused.value)
