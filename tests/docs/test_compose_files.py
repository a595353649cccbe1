"""The Compose files: all references exist, the files match each other, and gateways load the
settings.
"""

import re
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
FOLDER = ROOT / "deploy/docker"
PAGE = (ROOT / "docs/how-to/run-on-several-machines.md").read_text()
EXAMPLE = (FOLDER / "twite.example.toml").read_text()
FILES = {path.name: path.read_text() for path in FOLDER.glob("compose*.yaml")}
PARSED = {name: yaml.safe_load(text) for name, text in FILES.items()}
POSTGRES = "compose.postgres.yaml"
SERVICES = PARSED[POSTGRES]["services"]
BALANCER = SERVICES["load-balancer"]
CADDYFILE = (ROOT / "deploy/proxies/Caddyfile").read_text()
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VALUE = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6"
REQUIRED = re.compile(r"\$\{(\w+):\?[^}]+\}")


def gateways(name):
    """Return the services of a file that run Twite."""
    return {key: service for key, service in PARSED[name]["services"].items() if "build" in service}


def settings_of(name, folder):
    (folder / "twite.toml").write_text(EXAMPLE)
    service = next(iter(gateways(name).values()))
    image = dict(re.findall(r"(TWITE_\w+__\w+)=(\S+)", DOCKERFILE))
    environment = {
        variable: REQUIRED.sub(VALUE, text) for variable, text in service["environment"].items()
    }
    return load(folder / "twite.toml", image | environment)


def mounts(service):
    """Return (source, target) of each volume of a service."""
    return [tuple(volume.split(":")[:2]) for volume in service.get("volumes", ())]


def words(instruction):
    """Return the arguments of an instruction of the Dockerfile, as `["a", "b"]`."""
    return re.findall(
        r'"([^"]*)"', re.search(rf"^{instruction} (\[.*\])", DOCKERFILE, re.MULTILINE)[1]
    )


def test_each_kind_of_store_has_a_compose_file():
    assert FILES.keys() == {"compose.yaml", POSTGRES}
    assert [len(gateways(name)) for name in ("compose.yaml", POSTGRES)] == [1, 2]


@pytest.mark.parametrize("name", FILES)
def test_gateways_load_the_example_settings_with_their_variables(name, tmp_path):
    settings = settings_of(name, tmp_path)

    assert settings.warnings == ()
    assert settings.server.listen.host == "0.0.0.0"  # noqa: S104 inside a container


def test_sqlite_store_is_in_the_volume(tmp_path):
    (service,) = gateways("compose.yaml").values()

    assert str(settings_of("compose.yaml", tmp_path).store.path.parent) in dict(
        map(reversed, mounts(service))
    )


def test_settings_use_the_database_user_and_password_of_the_postgresql_service(tmp_path):
    settings = settings_of(POSTGRES, tmp_path)
    url = urlsplit(settings.store.place)
    database = SERVICES[url.hostname]["environment"]

    assert (database["POSTGRES_USER"], database["POSTGRES_DB"]) == (url.username, url.path[1:])
    assert REQUIRED.sub(VALUE, database["POSTGRES_PASSWORD"]) == url.password == VALUE


@pytest.mark.parametrize("name", FILES)
def test_each_environment_variable_of_the_gateways_is_used(name):
    for service in gateways(name).values():
        environment = service["environment"]
        read = set(re.findall(r'"env:(\w+)"', EXAMPLE)) | {VARIABLE}
        read |= {
            text.removeprefix("env:") for text in environment.values() if text.startswith("env:")
        }
        overriding = {variable for variable in environment if re.match(r"TWITE_\w+__", variable)}

        assert set(environment) == read | overriding


@pytest.mark.parametrize("name", FILES)
def test_missing_secret_stops_docker_compose(name):
    assert set(re.findall(r"\$\{(\w+)", FILES[name])) == set(REQUIRED.findall(FILES[name]))


def test_page_names_the_variables_of_the_env_file():
    names = set(REQUIRED.findall(FILES[POSTGRES]))

    assert len(names) == 5
    assert "Write five variables to `.env`" in PAGE
    assert [name for name in names if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("name", FILES)
def test_image_starts_the_gateway_with_the_mounted_settings(name):
    (program,), (command, *arguments) = words("ENTRYPOINT"), words("CMD")
    context = get_command(application(command)).commands[command].make_context(command, arguments)

    assert program == "twite"
    for service in gateways(name).values():
        assert "command" not in service
        assert str(context.params["config"]) in dict(map(reversed, mounts(service)))


@pytest.mark.parametrize("name", FILES)
def test_gateways_run_without_privileges(name):
    for service in gateways(name).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service.keys() & {"user", "privileged", "cap_add", "devices"}
    assert re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE).groups() == ("10001", "10001")


@pytest.mark.parametrize("name", FILES)
def test_gateways_get_enough_time_to_stop(name):
    for service in gateways(name).values():
        assert int(service["stop_grace_period"].rstrip("s")) > 2 * STOP_WITHIN / SECOND


@pytest.mark.parametrize("name", FILES)
def test_volumes_secrets_and_networks_of_the_services_are_defined(name):
    parsed = PARSED[name]
    services = parsed["services"].values()
    volumes = {source for service in services for source, _ in mounts(service)}
    depended = {other for service in services for other in service.get("depends_on", ())}

    assert {source for source in volumes if "/" not in source} == parsed["volumes"].keys()
    files = {source for source in volumes if "/" in source} - {"./twite.toml"}
    assert [source for source in files if not (FOLDER / source).exists()] == []
    assert depended <= parsed["services"].keys()
    for service in gateways(name).values():
        context = FOLDER / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).resolve() == FOLDER / "Dockerfile"


def test_health_check_of_the_image_uses_a_public_route():
    (path,) = re.findall(r"http://127\.0\.0\.1:8080(/\w+)", DOCKERFILE)

    assert path in {route.path for route in ROUTES}


def test_image_contains_the_postgresql_driver():
    extra = PROJECT["project"]["optional-dependencies"]["postgres"]
    pinned = (ROOT / "requirements/run.txt").read_text()

    assert "--require-hashes -r requirements/${PACKAGES}.txt" in DOCKERFILE
    assert "\nARG PACKAGES=run\n" in DOCKERFILE
    assert [name for name in extra if f"\n{name.partition('>')[0]}==" not in pinned] == []


def test_load_balancer_sends_to_the_port_of_all_gateways(tmp_path):
    server = settings_of(POSTGRES, tmp_path).server
    set_ = BALANCER["environment"]

    assert set_["GATEWAYS"].split() == [
        f"{name}:{server.listen.port}" for name in gateways(POSTGRES)
    ]
    assert f"https://{REQUIRED.sub(VALUE, set_['SITE'])}" == server.public_url
    assert [name for name in set_ if f"{{${name}:" not in CADDYFILE] == []
    assert dict(mounts(BALANCER))["../proxies/Caddyfile"] == "/etc/caddy/Caddyfile"


def test_load_balancer_checks_a_public_route():
    (path,) = re.findall(r"health_uri (\S+)", CADDYFILE)

    assert path in {route.path for route in ROUTES}
    assert f"Let the load balancer check `{path}`" in PAGE
