"""The image delivers conversions: one gateway, and two on PostgreSQL behind Caddy."""

import json
import os
import shutil
import signal
import subprocess
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from image_runtime import DOCKERFILE, USER, BuiltImage, missing

from free_port import free_port
from gateway_process import wait_for
from postgres_server import PostgresServer, programs

pytestmark = [
    pytest.mark.skipif(os.environ.get("TWITE_TRIAL") != "1", reason="a trial: TWITE_TRIAL=1"),
    pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}"),
    pytest.mark.timeout(900),
]
FOLDER = DOCKERFILE.parent
COMPOSE = yaml.safe_load((FOLDER / "compose.postgres.yaml").read_text())


@pytest.fixture(scope="module")
def image():
    built = BuiltImage()
    yield built
    built.remove()


def answer(url, key=None, body=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=5) as answered:
        return json.load(answered)


def gateway_of(process):
    """Return the id of the gateway, which bubblewrap has started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_text().split("\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            above = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if "serve" in words and "bwrap" not in words[0] and process.pid in {parent, above}:
            return int(entry.name)
    raise OSError("no gateway")


def delivered(url, key, conversion):
    found = answer(f"{url}/v1/conversions/o8z6j/{conversion}", key)
    return found["state"] == "delivered"


def stopped(process):
    """Stop a gateway with SIGTERM; return its exit code and the last line that it wrote."""
    os.kill(gateway_of(process), signal.SIGTERM)
    text, _ = process.communicate(timeout=60)
    return process.returncode, text.strip().splitlines()[-1]


def test_image_has_a_user_a_volume_and_a_health_check(image):
    assert image.settings["User"] == f"{USER}:{USER}"
    assert image.settings["Volumes"] == {"/data": {}}
    assert image.settings["StopSignal"] == "SIGTERM"
    assert image.settings["Healthcheck"]["Test"][0] == "CMD"


def test_image_delivers_a_conversion_without_privileges_and_with_a_read_only_root(image):
    data, port = image.volume("data"), free_port()
    listen = {"TWITE_SERVER__LISTEN": f"0.0.0.0:{port}"}
    listen["TWITE_X__EMULATOR"] = f"127.0.0.1:{free_port()}"
    url = f"http://127.0.0.1:{port}"
    program = image.settings["Entrypoint"]
    assert image.run(*program, "init", "--emulator", data=data) == 0
    key = (data / "shop.key").read_text().strip()

    gateway = image.start(*program, "serve", data=data, environment=listen)
    wait_for(lambda: answer(f"{url}/readyz") == {"status": "ok"})
    status = Path(f"/proc/{gateway_of(gateway)}/status").read_text()
    body = {"event": "purchase", "conversion_id": "order-1", "email": "shopper@example.com"}
    answer(f"{url}/v1/conversions", key, body)
    wait_for(lambda: delivered(url, key, "order-1"))
    check = [word.replace("8080", str(port)) for word in image.settings["Healthcheck"]["Test"][1:]]
    healthy = image.run(*check, data=data)

    assert f"Uid:\t{USER}\t" in status
    assert "CapEff:\t0000000000000000" in status
    assert healthy == 0
    assert stopped(gateway) == (0, "Stopped.")
    assert image.run(*check, data=data) != 0


def test_container_can_write_only_to_the_volume_and_tmp(image):
    data = image.volume("probe")
    attempt = "import sys; open(sys.argv[1], 'w')"

    codes = {
        place: image.run("python3", "-c", attempt, f"{place}/x", data=data)
        for place in ("/data", "/tmp", "/", "/etc/twite", "/opt/twite", "/var/tmp", "/usr/bin")  # noqa: S108
    }

    assert [place for place, code in codes.items() if code == 0] == ["/data", "/tmp"]  # noqa: S108


@pytest.mark.skipif(shutil.which("caddy") is None, reason="needs Caddy")
def test_two_gateways_behind_caddy_lose_nothing_if_one_stops(image, x_emulator, tmp_path):
    settings = image.folder / "settings/twite.toml"
    settings.parent.mkdir()
    settings.write_text(
        (FOLDER / "twite.example.toml").read_text().replace("172.16.0.0/12", "127.0.0.0/8")
    )
    key, front, database = "k" * 32, free_port(), free_port()
    ports = {
        name: free_port() for name, service in COMPOSE["services"].items() if "build" in service
    }
    with ExitStack() as stack:
        server = PostgresServer(programs(), listen_addresses="127.0.0.1", port=str(database))
        stack.callback(server.remove)
        server.create("twite")
        environment = {
            "TWITE_STORE": f"postgresql://twite@127.0.0.1:{database}/twite",
            "TWITE_STORE__URL": COMPOSE["x-gateway"]["environment"]["TWITE_STORE__URL"],
            "TWITE_SHOP_KEY": key,
            "TWITE_SECRET_KEY": "s" * 32,
            "X_PIXEL_TOKEN": "emulator-pixel-token-o8z6j",
            "TWITE_X__API_URL": x_emulator.url,
        }
        gateways = {
            name: image.start(
                *image.settings["Entrypoint"],
                *image.settings["Cmd"],
                data=image.volume(name),
                environment=environment | {"TWITE_SERVER__LISTEN": f"0.0.0.0:{port}"},
                mounts=[(settings.parent, "/etc/twite")],
            )
            for name, port in ports.items()
        }
        for gateway in gateways.values():
            stack.callback(gateway.kill)
        balancer = COMPOSE["services"]["load-balancer"]["environment"]["GATEWAYS"]
        for name, port in ports.items():
            balancer = balancer.replace(f"{name}:8080", f"127.0.0.1:{port}")
        configured = (FOLDER.parent / "proxies/Caddyfile").read_text()
        (tmp_path / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{configured}")
        caddy = subprocess.Popen(
            ["caddy", "run", "--adapter", "caddyfile", "--config", "Caddyfile"],
            cwd=tmp_path,
            env=os.environ | {"SITE": f"http://127.0.0.1:{front}", "GATEWAYS": balancer},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(caddy.wait, 30)
        stack.callback(caddy.terminate)
        for name, port in ports.items():
            wait_for(
                lambda port=port: bool(answer(f"http://127.0.0.1:{port}/readyz")),
                lambda gateway=gateways[name]: gateway.poll() and gateway.stdout.read(),
                seconds=60,
            )
        url = f"http://127.0.0.1:{front}"
        wait_for(lambda: bool(answer(f"{url}/readyz")))

        for number in range(10):
            answer(f"{url}/v1/conversions", key, order(number))
        first = stopped(gateways["gateway-1"])
        for number in range(10, 20):
            wait_for(
                lambda number=number: bool(answer(f"{url}/v1/conversions", key, order(number)))
            )

        for number in range(20):
            wait_for(lambda number=number: delivered(url, key, f"order-{number}"), seconds=60)
        assert first == (0, "Stopped.")
        assert stopped(gateways["gateway-2"]) == (0, "Stopped.")


def order(number):
    email = f"shopper{number}@example.com"
    return {"event": "purchase", "conversion_id": f"order-{number}", "email": email}
