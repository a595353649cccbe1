"""Traces are exported only if the settings name a collector and the extra is installed."""

import subprocess
import sys

import pytest

from fakes import MovingClock
from twite.app import observation
from twite.app.observation import Observation
from twite.domain.errors import SettingsError
from written import GOOD, read

TRACED = f'{GOOD}\n[traces]\nendpoint = "http://127.0.0.1:4318"\n'
STARTED = """
import sys
from pathlib import Path
from twite.app.observation import Observation
from twite.config.settings import load
from twite.machine.system import SystemClock

settings = load(Path(sys.argv[1]), {})
Observation(settings, SystemClock()).start_traces(None)
print([name for name in sys.modules if "opentelemetry" in name or "trace_queue" in name])
"""


def test_gateway_without_a_collector_does_not_import_opentelemetry(tmp_path):
    path = tmp_path / "twite.toml"
    path.write_text('[server]\nlisten = "127.0.0.1:0"\n')

    done = subprocess.run(
        [sys.executable, "-c", STARTED, str(path)], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_gateway_with_a_collector_but_without_the_extra_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr(observation, "can_trace", lambda: False)

    with pytest.raises(SettingsError, match=r"traces.endpoint: .* Install requirements/otel.txt"):
        Observation(read(tmp_path, TRACED), MovingClock()).start_traces(None)


def test_environment_variable_otel_sdk_disabled_turns_traces_off(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    observed = Observation(read(tmp_path, TRACED), MovingClock())

    observed.start_traces(None)

    assert observed.trace_queue is None
