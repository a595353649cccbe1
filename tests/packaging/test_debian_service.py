"""A trial: the Debian package under a real systemd, with all restrictions of the unit.

TWITE_DIST is the folder that `make dist` wrote; TWITE_DEBIAN_ROOT is a Debian without Twite.
"""

import os
import shutil
import time
from pathlib import Path

import debian_machine
import pytest
from debian_machine import DebianMachine
from installed_twite import built_packages

SEND = """
curl --silent --fail --retry 9 --retry-connrefused http://127.0.0.1:8080/v1/conversions \
  -H "Authorization: Bearer $(cat /etc/twite/shop.key)" -H "Content-Type: application/json" \
  -d '{"event": "purchase", "conversion_id": "order-1001", "value": "49.90", "currency": "EUR",
       "email": "shopper@shop.internal"}'
"""
SERVICE = "systemctl show --value --property"

pytestmark = [
    pytest.mark.skipif("TWITE_TRIAL" not in os.environ, reason="a trial: TWITE_TRIAL=1"),
    pytest.mark.skipif(
        not debian_machine.is_possible(), reason="needs root, mmdebstrap and namespaces"
    ),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    chosen = os.environ.get("TWITE_DEBIAN_ROOT")
    root = Path(chosen) if chosen else tmp_path_factory.mktemp("debian") / "root"
    with DebianMachine(root) as booted:
        yield booted


@pytest.fixture(scope="module")
def package(machine):
    (file,) = built_packages().glob("twite_*.deb")
    shutil.copy(file, machine.root / "root")
    return f"/root/{file.name}"


def delivered(machine):
    end = time.monotonic() + 30
    while ": delivered" not in machine.run("twite show order-1001"):
        assert time.monotonic() < end
        time.sleep(0.2)


def files_of(machine):
    return machine.run("cd /etc/twite && ls -A && cat twite.toml shop.key twite.secret environment")


def test_fresh_installation_delivers_a_conversion(machine, package, figure):
    began = time.monotonic()
    machine.run(f"apt-get install --yes {package}")
    machine.run("twite init --emulator")
    machine.run("systemctl enable --now twite.service twite-backup.timer")
    machine.run(SEND)
    delivered(machine)
    figure("Debian package", f"{time.monotonic() - began:.1f} s to delivered, 4 commands")

    assert "0 failed" in machine.run("twite check")
    main = machine.run(f"{SERVICE}=MainPID twite")
    status = machine.run(f"cat /proc/{main}/status")
    assert f"Uid:\t{machine.run('id -u twite')}\t" in status
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    others = machine.run("find /etc/twite /var/lib/twite ! -user twite")
    assert others == "/etc/twite/environment"


def test_start_without_settings_fails_and_names_the_file(machine):
    machine.run("systemctl stop twite; mv /etc/twite/twite.toml /etc/twite/kept")

    machine.run("systemctl start twite; true")
    status = machine.run("systemctl status twite; true")
    machine.run("mv /etc/twite/kept /etc/twite/twite.toml; systemctl start twite")

    assert "AssertPathExists=/etc/twite/twite.toml was not met" in status


def test_backup_service_writes_a_backup(machine):
    machine.run("systemctl start twite-backup.service")

    assert machine.run("ls /var/lib/twite/backups").startswith("twite-20")


def test_service_satisfies_its_watchdog_and_reloads(machine):
    machine.run("systemctl reload twite")
    before = machine.run(f"{SERVICE}=WatchdogTimestampMonotonic twite")
    time.sleep(35)  # more than WatchdogSec=

    assert machine.run(f"{SERVICE}=WatchdogTimestampMonotonic twite") != before
    assert machine.run(f"{SERVICE}=NRestarts twite") == "0"


def test_killed_gateway_is_started_again(machine):
    machine.run("systemctl kill --signal=KILL --kill-whom=main twite")
    end = time.monotonic() + 30
    while machine.run(f"{SERVICE}=NRestarts twite") != "1":
        assert time.monotonic() < end
        time.sleep(0.2)

    machine.run(SEND)
    delivered(machine)


def test_upgrade_of_the_package_restarts_the_gateway_and_keeps_the_settings(machine, package):
    machine.run("echo '# mine' >> /etc/twite/environment")
    before, process = files_of(machine), machine.run(f"{SERVICE}=MainPID twite")

    machine.run(f"dpkg --install {package}")

    assert files_of(machine) == before
    assert machine.run("systemctl is-active twite") == "active"
    assert machine.run(f"{SERVICE}=MainPID twite") != process
    delivered(machine)


def test_purge_of_the_package_keeps_the_settings_and_the_store(machine):
    machine.run("dpkg --purge twite")

    assert machine.run("ls /usr/lib/twite; true") == ""
    assert "twite.toml" in machine.run("ls /etc/twite")
    assert "emulator.db" in machine.run("ls /var/lib/twite")
