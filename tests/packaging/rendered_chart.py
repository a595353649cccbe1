"""Render the Helm chart with Helm itself.

The package helm-python-sdk contains Helm's own code as a library with Go's runtime. A process that
has loaded it cannot fork, so each call runs in a process of its own.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import yaml

# LibYAML's, ten times as fast, if PyYAML was built with it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CHART = Path(__file__).parents[2] / "deploy/helm/twite"


class Refused(Exception):
    """Helm refused the values."""


def rendered(values, *, release="twite"):
    """Return the objects of the chart. Raises Refused."""
    text = _asked("render", json.dumps(values), release)
    parts = json.loads(text).values()
    return [item for part in parts for item in yaml.load_all(part, _LOADER) if item]


def linted(values):
    """Return Helm's findings of errors and warnings about the chart."""
    findings = json.loads(_asked("lint", json.dumps(values), ""))
    return [finding for finding in findings if finding["severity"] > 1]


def packaged(folder):
    """Return the path of the chart's archive."""
    return json.loads(_asked("package", "{}", str(folder)))


@cache
def _asked(*arguments):
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def _answer(task, values, word):
    import helm_python as helm  # noqa: PLC0415  # only in this process

    given = json.loads(values)
    if task == "lint":
        return helm.lint(str(CHART), values=given)["messages"]
    if task == "package":
        return helm.package(str(CHART), destination=word)
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(given)
        return chart.render(given, name=word, namespace="shop")


if __name__ == "__main__":
    print(json.dumps(_answer(*sys.argv[1:])))
