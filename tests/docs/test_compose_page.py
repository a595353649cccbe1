"""The Compose file of "Run on several machines": all references exist, and its parts match."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from typer.main import get_command

from twite.app.gateway import STOP_WITHIN
from twite.cli.application import application
from twite.config.secret_key import VARIABLE
from twite.config.settings import load
from twite.domain.times import SECOND
from twite.http.route_table import ROUTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/run-on-several-machines.md").read_text()
YAML, TOML = (PAGE.split(f"```{kind}\n")[1].split("```")[0] for kind in ("yaml", "toml"))
COMPOSE = yaml.safe_load(YAML)
SERVICES = COMPOSE["services"]
GATEWAYS = {name: service for name, service in SERVICES.items() if "build" in service}
GATEWAY = COMPOSE["x-gateway"]
CADDYFILE = COMPOSE["configs"]["load-balancer"]["content"]
BUILD = (ROOT / GATEWAY["build"]["dockerfile"]).read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VALUE = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6"


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "twite.toml").write_text(TOML)
    environment = {
        name: re.sub(r"\$\{\w+\}", VALUE, text) for name, text in GATEWAY["environment"].items()
    }
    return load(tmp_path / "twite.toml", environment)


def mounts(service):
    """Return (source, target) of each volume of a service."""
    return [tuple(volume.split(":")[:2]) for volume in service.get("volumes", ())]


def test_gateways_load_the_settings_with_their_variables(settings):
    assert settings.warnings == ()
    assert urlsplit(settings.store.place).hostname in SERVICES


def test_each_variable_of_the_gateways_is_used():
    read = set(re.findall(r'"env:(\w+)"', TOML)) | {VARIABLE}
    overriding = {name for name in GATEWAY["environment"] if re.match(r"TWITE_\w+__", name)}

    assert set(GATEWAY["environment"]) == read | overriding


def test_text_names_the_number_of_variables_of_the_env_file():
    names = set(re.findall(r"\$\{(\w+)\}", YAML))
    words = {3: "three", 4: "four", 5: "five"}

    assert f"Write the {words[len(names)]} variables to `.env`" in PAGE


def test_database_has_the_user_password_and_name_of_the_url():
    url = urlsplit(GATEWAY["environment"]["TWITE_STORE"].replace("${POSTGRES_PASSWORD}", "word"))
    database = SERVICES[url.hostname]["environment"]

    assert (database["POSTGRES_USER"], database["POSTGRES_DB"]) == (url.username, url.path[1:])
    assert (database["POSTGRES_PASSWORD"], url.password) == ("${POSTGRES_PASSWORD}", "word")


def test_gateway_command_reads_the_mounted_settings():
    name, *words = shlex.split(GATEWAY["command"])
    command = get_command(application(name)).commands[name]

    context = command.make_context(name, words)

    assert str(context.params["config"]) in dict(map(reversed, mounts(GATEWAY)))
    assert 'ENTRYPOINT ["twite"]' in BUILD


def test_image_contains_the_driver_of_postgresql():
    (extra,) = [
        names
        for name, names in PROJECT["project"]["optional-dependencies"].items()
        if name == "postgres"
    ]
    pinned = (ROOT / "requirements/run.txt").read_text()

    assert "--require-hashes -r requirements/run.txt" in BUILD
    assert [name for name in extra if f"\n{name.partition('>')[0]}==" not in pinned] == []


def test_load_balancer_sends_to_the_port_of_all_gateways(settings):
    upstreams = re.search(r"reverse_proxy (.+) \{", CADDYFILE)[1].split()

    assert set(upstreams) == {f"{name}:{settings.server.listen.port}" for name in GATEWAYS}
    assert len(GATEWAYS) == 2
    assert settings.server.listen.host == "0.0.0.0"  # noqa: S104 inside a container
    assert f"https://{CADDYFILE.split()[0]}" == settings.server.public_url


def test_load_balancer_checks_a_public_route():
    (path,) = re.findall(r"health_uri (\S+)", CADDYFILE)

    assert path in {route.path for route in ROUTES}
    assert f"Let the load balancer check `{path}`" in PAGE


@pytest.mark.skipif(shutil.which("caddy") is None, reason="needs Caddy")
def test_caddy_accepts_its_configuration(tmp_path):
    (tmp_path / "Caddyfile").write_text(CADDYFILE)
    command = ["caddy", "validate", "--adapter", "caddyfile", "--config", "Caddyfile"]

    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "Valid configuration" in checked.stdout + checked.stderr


def test_names_used_by_services_are_defined():
    volumes = {source for service in SERVICES.values() for source, _ in mounts(service)}
    configs = {
        config["source"] for service in SERVICES.values() for config in service.get("configs", ())
    }
    depended = {name for service in SERVICES.values() for name in service.get("depends_on", ())}

    assert {name for name in volumes if "/" not in name} == COMPOSE["volumes"].keys()
    assert {name for name in volumes if "/" in name} == {"./twite.toml"}
    assert configs == COMPOSE["configs"].keys()
    assert depended <= SERVICES.keys()
    assert all(service.keys() & {"build", "image"} for service in SERVICES.values())


def test_gateway_has_enough_time_to_stop():
    assert int(GATEWAY["stop_grace_period"].rstrip("s")) > 2 * STOP_WITHIN / SECOND
