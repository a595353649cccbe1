"""The CronJob of the Helm chart: it backs up the SQLite store of the gateway."""

import os
import re
import subprocess
from importlib.util import find_spec

import pytest
from rendered_chart import rendered

pytestmark = pytest.mark.skipif(find_spec("helm_python") is None, reason="needs Helm")

VALUES = {
    "image": {"repository": "registry.example.com/twite"},
    "secret": "twite",
    "settings": "# none",
    "store": {"kind": "sqlite"},
}
BACKUP = {"backup": {"enabled": True, "claim": "twite-backups"}}


def objects(values):
    return {item["kind"]: item for item in rendered(values)}


@pytest.fixture(scope="module")
def with_backup():
    return objects(VALUES | BACKUP)


@pytest.fixture
def gateway(with_backup):
    return with_backup["StatefulSet"]["spec"]["template"]["spec"]


@pytest.fixture
def backup(with_backup):
    return with_backup["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]


def only_container(pod):
    (only,) = pod["containers"]
    return only


def test_backup_job_has_the_image_the_secret_and_the_privileges_of_the_gateway(gateway, backup):
    served, copied = only_container(gateway), only_container(backup["spec"])

    for key in ("image", "envFrom", "securityContext"):
        assert copied[key] == served[key]
    assert backup["spec"]["securityContext"] == gateway["securityContext"]
    assert [variable for variable in copied["env"] if variable not in served["env"]] == []


def test_backup_job_mounts_the_volume_of_the_store_and_a_second_one(with_backup, backup):
    served = with_backup["StatefulSet"]
    (claim,) = served["spec"]["volumeClaimTemplates"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in backup["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }

    assert claims == {
        "data": f"{claim['metadata']['name']}-{served['metadata']['name']}-0",
        "backup": "twite-backups",
    }


def test_backup_job_runs_on_the_node_of_the_gateway_and_gets_no_requests(with_backup, backup):
    selector = with_backup["Service"]["spec"]["selector"]
    beside = backup["spec"]["affinity"]["podAffinity"]
    (rule,) = beside["requiredDuringSchedulingIgnoredDuringExecution"]

    assert rule["labelSelector"]["matchLabels"] == selector
    assert not selector.items() <= backup["metadata"]["labels"].items()


def test_backup_job_writes_a_copy_and_deletes_old_ones(backup, tmp_path):
    only = only_container(backup["spec"])
    (typed,) = only["args"]
    program = tmp_path / "twite"
    program.write_text('#!/bin/sh\n[ "$1 $2" = "backup --config" ] && touch "$4"\n')
    program.chmod(0o755)
    stale = tmp_path / "twite-2026-01-01-0330.db"
    stale.touch()
    os.utime(stale, (0, 0))

    line = typed.replace("/backup", ".")
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([*only["command"], line], check=True, env=environment, cwd=tmp_path)

    (copy,) = tmp_path.glob("twite-*.db")
    assert re.fullmatch(r"twite-\d{4}-\d\d-\d\d-\d{4}\.db", copy.name)


def test_chart_has_no_backup_job_unless_the_values_say_so():
    assert "CronJob" not in objects(VALUES)
