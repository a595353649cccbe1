"""The gateway works without its optional features: a copy without their folders.

In its long form (TWITE_TRIAL=1), the tests that need no feature run there, too, except those of the
whole project: its documentation, its packages, the rules for its code, and stores with tags that
earlier versions wrote.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_process import GatewayProcess, environment
from twite.features import FEATURES

ROOT = Path(__file__).parents[2]
LONG = os.environ.get("TWITE_TRIAL") == "1"
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "site", "dist")
OF_THE_WHOLE = (
    "docs", "contributing", "packaging", "trials", "upgrades",
    "console/test_pages_are_documented.py", "browser/test_console.py",
)  # fmt: skip
NAMES = {feature.rpartition(".")[2] for feature in FEATURES}
KEY = "a-key-that-nobody-will-guess"
SETTINGS = f"""
[server]
listen = "127.0.0.1:0"
[x]
api_url = "{{x}}"
[[pixel]]
id = "o8z6j"
auth = {{{{ pixel_token = "emulator-pixel-token-o8z6j" }}}}
events = {{{{ purchase = "o8z6k" }}}}
[[source]]
name = "shop"
key = "{KEY}"
pixel = "o8z6j"
region = "GB"
"""
IMPORT_ALL = """
import importlib, pkgutil, sys
import twite
assert twite.__file__.startswith(sys.argv[1]), twite.__file__
for found in pkgutil.walk_packages(twite.__path__, "twite."):
    if found.name != "twite.__main__":
        importlib.import_module(found.name)
        print(found.name)
"""


class GatewayOfTheRest(GatewayProcess):
    popen = subprocess.Popen  # a forked process would have the features


@pytest.fixture(scope="module")
def rest(tmp_path_factory):
    """Return a copy of the project without the features, and without their tests."""
    copy = tmp_path_factory.mktemp("rest")
    shutil.copytree(ROOT / "src", copy / "src", ignore=NOT_COPIED)
    for feature in FEATURES:
        folder = copy / "src" / feature.replace(".", "/")
        shutil.rmtree(folder)
        # Git leaves a folder with ignored files behind.
        (folder / "__pycache__").mkdir(parents=True)
    if LONG:
        for entry in ROOT.iterdir():
            if entry.name != "src" and not NOT_COPIED(ROOT, [entry.name]):
                copied = copy / entry.name
                if entry.is_dir():
                    shutil.copytree(entry, copied, ignore=NOT_COPIED)
                else:
                    shutil.copy(entry, copied)
        for folder in [*(copy / "tests").rglob("*")]:
            if folder.is_dir() and folder.name in NAMES:
                shutil.rmtree(folder)
    return copy


def environment_of(rest):
    return environment() | {"PYTHONPATH": str(rest / "src")}


def python(rest, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=rest,
        env=environment_of(rest),
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_can_be_imported_without_the_features(rest):
    done = python(rest, "-c", IMPORT_ALL, str(rest))

    assert (done.returncode, done.stderr) == (0, "")
    imported = done.stdout.split()
    assert len(imported) > 300
    assert [name for name in imported if name.startswith(FEATURES)] == []


def test_help_lists_no_command_of_a_removed_feature(rest):
    done = python(rest, "-m", "twite", "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "rotate-key" in done.stdout
    assert "Server tags" not in done.stdout


def test_settings_of_a_removed_feature_are_unknown_keys(rest, tmp_path):
    config = tmp_path / "twite.toml"
    config.write_text(SETTINGS.format(x="https://ads-api.x.com") + '[[tag]]\nname = "crm"\n')

    done = python(rest, "-m", "twite", "reload", "--config", str(config))

    assert done.returncode == 1
    assert "tag: unknown key" in done.stderr


def test_gateway_without_the_features_delivers_a_conversion(rest, tmp_path, x_emulator):
    config = tmp_path / "twite.toml"
    config.write_text(SETTINGS.format(x=x_emulator.url))
    config.chmod(0o600)
    gateway = GatewayOfTheRest(config, note=tmp_path / "twite.db.gateway", key=KEY)
    gateway.environment = environment_of(rest)

    with gateway:
        status, _ = gateway.post(
            {
                "event": "purchase",
                "conversion_id": "order-1",
                "time": "2026-11-24T10:00:00+01:00",
                "email": "shopper@mail.example",
            }
        )
        gateway.drained()
        checked = python(rest, "-m", "twite", "check", "--json", "--config", str(config))
        assert gateway.stop() == 0

    assert status == 202
    events = x_emulator.counted()["pixels"]["o8z6j"]["events"]
    assert list(events["o8z6k"]["ids"]) == ["order-1"]
    topics = {finding["topic"] for finding in json.loads(checked.stdout)["findings"]}
    assert {"store", "sources"} <= topics
    assert topics.isdisjoint({"tags", "container", "engines", "google"})


@pytest.mark.skipif(not LONG, reason="a trial: TWITE_TRIAL=1")
def test_tests_pass_without_the_features(rest):
    ignored = [f"--ignore=tests/{name}" for name in OF_THE_WHOLE]
    done = python(rest, "-m", "pytest", "tests", *ignored)

    assert done.returncode == 0, done.stdout[-20_000:]
