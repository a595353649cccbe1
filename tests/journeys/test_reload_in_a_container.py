"""A gateway on PostgreSQL reloads its settings in a container, which mounts them read-only."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from gateway_processes import KEY, PostgresGateway, command, wait_for

DOCKERFILE = Path(__file__).parents[2] / "deploy/docker/Dockerfile"
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
# In a user namespace, root could not reach the database of another user.
MAPPED = () if os.getuid() == 0 else ("--user", "--map-root-user")
NAMESPACE = ("unshare", *MAPPED, "--mount")
SECOND_KEY = "second-key-second-key-second"


def can_mount():
    try:
        done = subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(not can_mount(), reason="this user cannot create mounts"),
]


class Contained(subprocess.Popen):
    """Starts a gateway that cannot write to the folder of its settings."""

    def __init__(self, command, **more):
        folder = command[-1].rpartition("/")[0]
        # A gateway ignores SIGHUP if the tests do, as under nohup.
        start = ["env", "--default-signal=HUP", *NAMESPACE, "sh", "-c", READ_ONLY, folder]
        super().__init__([*start, *command], **more)


class ContainedGateway(PostgresGateway):
    """`data` is the folder of the volume /data. Variables of the image are set."""

    popen = Contained

    def __init__(self, folder, data, x, url):
        super().__init__(folder, x, url)
        self.data = data
        for name, text in re.findall(r"(TWITE_STORE__\w+)=(\S+)", DOCKERFILE.read_text()):
            self.environment[name] = text.replace("/data", str(data))

    @property
    def note(self):
        return self.data / "twite.postgresql.gateway"


@pytest.fixture
def gateway(tmp_path, x_emulator, postgres_url):
    settings, data = tmp_path / "etc", tmp_path / "data"
    settings.mkdir()
    data.mkdir()
    with ContainedGateway(settings, data, x_emulator.url, postgres_url) as started:
        yield started


def add_source(gateway):
    first = f'[[source]]\nname = "second"\nkey = "{SECOND_KEY}"\npixel = "o8z6j"\n'
    gateway.config.write_text(gateway.config.read_text() + first)


def status_of_second(gateway):
    gateway.key = SECOND_KEY
    try:
        return gateway.post({"event": "purchase", "conversion_id": "1", "twclid": "abc"})[0]
    finally:
        gateway.key = KEY


def test_reload_in_a_container_reaches_the_gateway(gateway):
    add_source(gateway)

    done = command(gateway, "reload", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changes"] == ["source second added"]
    assert status_of_second(gateway) == 202


def test_sighup_in_a_container_reloads_the_settings(gateway):
    add_source(gateway)

    gateway.process.send_signal(signal.SIGHUP)

    wait_for(lambda: status_of_second(gateway) == 202, gateway.ended)
