"""The Helm chart renders valid objects, runs without privileges, and matches the gateway."""

import json
import re
import tarfile
from importlib.util import find_spec
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from rendered_chart import CHART, Refused, linted, packaged, rendered

from twite import __version__
from twite.app.gateway import STOP_WITHIN
from twite.config.settings import load
from twite.domain.times import SECOND
from twite.http.route import anyone
from twite.http.route_table import ROUTES
from twite.observers.metrics import GAUGES

pytestmark = pytest.mark.skipif(find_spec("helm_python") is None, reason="needs Helm")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/deploy-on-kubernetes.md").read_text()
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
RULES = yaml.safe_load((ROOT / "deploy/prometheus/twite.rules.yml").read_text())
# Of the operators of Prometheus and KEDA. Kubernetes itself has no schemas for them.
FOREIGN = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
SQLITE, MORE = (
    yaml.safe_load(re.sub(r"^   ", "", block, flags=re.MULTILINE))
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
)
POSTGRESQL = SQLITE | MORE
EXAMPLES = {
    "sqlite": SQLITE,
    "postgresql": POSTGRESQL,
    "postgresql without autoscaling": POSTGRESQL | {"autoscaling": {"enabled": False}},
    "everything": POSTGRESQL
    | {
        "image": {"repository": "twite", "tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "files": {"crm.tpl": "___INFO___\n", "container.toml": "# none\n"},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "host": "t.shop.example",
            "tlsSecret": "tls",
            "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"},
        },
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "shop", "operator": "Exists", "effect": "NoSchedule"}],
        "podAnnotations": {"example.com/team": "shop"},
    },
    "sqlite with backups": SQLITE
    | {"backup": {"enabled": True, "claim": "twite-backups"}, "tolerations": [{"key": "shop"}]},
    "sqlite with a storage class": SQLITE
    | {"store": {"kind": "sqlite", "size": "50Gi", "storageClass": "fast"}},
}
every_example = pytest.mark.parametrize("example", EXAMPLES)


def of_kind(example, kind):
    return [item for item in rendered(EXAMPLES[example]) if item["kind"] == kind]


def workload(example):
    (found,) = of_kind(example, "StatefulSet") + of_kind(example, "Deployment")
    return found


def pod(example):
    return workload(example)["spec"]["template"]["spec"]


def container(example):
    (only,) = pod(example)["containers"]
    return only


def variables(example):
    return {variable["name"]: variable["value"] for variable in container(example)["env"]}


@every_example
@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_schemas_accept_all_objects(example, version):
    checked = [item for item in rendered(EXAMPLES[example]) if item["kind"] not in FOREIGN]

    for item in checked:
        kubernetes_validate.validate(item, version, strict=True)
    assert {"ConfigMap", "Service", "Ingress"} <= {item["kind"] for item in checked}


@every_example
def test_helm_lint_finds_no_error(example):
    assert linted(EXAMPLES[example]) == []


@every_example
def test_gateway_loads_the_settings_of_the_chart_with_its_variables_and_secret(example, tmp_path):
    (settings,) = (item for item in of_kind(example, "ConfigMap") if "twite.toml" in item["data"])
    for name, text in settings["data"].items():
        (tmp_path / name).write_text(text)
    url = "postgresql://twite:word@database/twite"
    secret = dict.fromkeys(("TWITE_SHOP_KEY", "TWITE_SECRET_KEY", "X_PIXEL_TOKEN"), "k" * 32)
    secret |= {"TWITE_STORE": url, "TWITE_METRICS_KEY": "m" * 32}

    loaded = load(tmp_path / "twite.toml", secret | variables(example))

    port = container(example)["ports"][0]["containerPort"]
    assert loaded.warnings == ()
    assert (loaded.server.listen.host, loaded.server.listen.port) == ("0.0.0.0", port)  # noqa: S104
    if example.startswith("sqlite"):
        mounted = {mount["mountPath"] for mount in container(example)["volumeMounts"]}
        assert str(loaded.store.path.parent) in mounted
    else:
        assert loaded.store.place == url
        assert loaded.server.metrics_key.matches("m" * 32)


@every_example
def test_container_starts_the_gateway_with_the_mounted_settings(example):
    *_, path = container(example)["args"]
    volumes = {mount["mountPath"]: mount["name"] for mount in container(example)["volumeMounts"]}
    named = {volume["name"]: volume for volume in pod(example)["volumes"]}

    configured = named[volumes[str(Path(path).parent)]]["configMap"]["name"]
    assert configured in {item["metadata"]["name"] for item in of_kind(example, "ConfigMap")}
    assert container(example)["args"] == json.loads(re.search("CMD (.+)\n$", DOCKERFILE)[1])


@every_example
def test_probes_of_the_kubelet_need_no_key(example):
    public = {route.path for route in ROUTES if route.authenticate is anyone}
    probes = {name: probe for name, probe in container(example).items() if name.endswith("Probe")}
    ports = {port["name"] for port in container(example)["ports"]}

    assert probes.keys() == {"startupProbe", "livenessProbe", "readinessProbe"}
    assert {probe["httpGet"]["path"] for probe in probes.values()} == {
        "/healthz",
        "/readyz",
    } & public
    assert {probe["httpGet"]["port"] for probe in probes.values()} == ports
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_startup_probe_waits_as_long_as_the_values_say():
    probe = container("sqlite")["startupProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] == 600


@every_example
def test_pod_conforms_to_the_pod_security_standard_restricted(example):
    # kubernetes.io/docs/concepts/security/pod-security-standards
    context, own = pod(example)["securityContext"], container(example)["securityContext"]
    kinds = {kind for volume in pod(example)["volumes"] for kind in volume} - {"name"}

    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert kinds <= {"configMap", "emptyDir"}
    assert not pod(example).keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
    assert pod(example)["automountServiceAccountToken"] is False


@every_example
def test_pod_runs_as_the_user_of_the_image(example):
    user, group = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE).groups()
    context = pod(example)["securityContext"]

    assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))
    assert context["fsGroup"] == int(group)


@every_example
def test_objects_contain_no_secrets_but_refer_to_them(example):
    assert of_kind(example, "Secret") == []
    assert container(example)["envFrom"] == [{"secretRef": {"name": "twite"}}]


@every_example
def test_pod_gets_no_environment_variables_of_services(example):
    assert pod(example)["enableServiceLinks"] is False


@every_example
def test_gateway_gets_enough_time_to_stop(example):
    waits = container(example)["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pod(example)["terminationGracePeriodSeconds"] - waits > 2 * STOP_WITHIN / SECOND


@every_example
def test_selectors_match_the_pods(example):
    labels = workload(example)["spec"]["template"]["metadata"]["labels"]
    (service,) = of_kind(example, "Service")
    selectors = [
        service["spec"]["selector"],
        workload(example)["spec"]["selector"]["matchLabels"],
        *(
            item["spec"]["selector"]["matchLabels"]
            for item in of_kind(example, "PodDisruptionBudget")
        ),
    ]

    assert [selector for selector in selectors if not selector.items() <= labels.items()] == []
    assert all(selectors)
    assert service["spec"]["ports"][0]["targetPort"] == container(example)["ports"][0]["name"]


def test_sqlite_store_has_one_gateway_with_a_volume():
    found = workload("sqlite")
    (claim,) = found["spec"]["volumeClaimTemplates"]

    assert (found["kind"], found["spec"]["replicas"]) == ("StatefulSet", 1)
    assert claim["metadata"]["name"] in {
        mount["name"] for mount in container("sqlite")["volumeMounts"]
    }
    assert of_kind("sqlite", "PodDisruptionBudget") == []


def test_gateways_on_postgresql_are_replaced_one_after_another():
    found = workload("postgresql without autoscaling")
    (budget,) = of_kind("postgresql", "PodDisruptionBudget")

    assert (found["kind"], found["spec"]["replicas"]) == ("Deployment", 2)
    assert found["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert budget["spec"]["maxUnavailable"] == 1


def test_only_keda_sets_the_number_of_gateways_with_autoscaling():
    (scaled,) = of_kind("postgresql", "ScaledObject")

    assert "replicas" not in workload("postgresql")["spec"]
    assert scaled["spec"]["scaleTargetRef"]["name"] == workload("postgresql")["metadata"]["name"]
    assert of_kind("postgresql without autoscaling", "ScaledObject") == []


def test_autoscaling_follows_the_backlog_of_this_helm_release():
    (scaled,) = of_kind("postgresql", "ScaledObject")
    backlog, load_of_cpu = scaled["spec"]["triggers"]
    (name,) = re.findall(r"\b(twite_\w+)\{", backlog["metadata"]["query"])
    (service,) = of_kind("postgresql", "Service")

    assert GAUGES[name][1].split() == re.findall(r"by \((\w+)\)", backlog["metadata"]["query"])
    assert 'namespace="shop"' in backlog["metadata"]["query"]
    assert f'service="{service["metadata"]["name"]}"' in backlog["metadata"]["query"]
    assert load_of_cpu == {
        "type": "cpu",
        "metricType": "Utilization",
        "metadata": {"value": "70"},
    }
    assert container("postgresql")["resources"]["requests"]["cpu"]


def test_rules_and_dashboard_are_those_of_the_repository():
    (rule,) = of_kind("postgresql", "PrometheusRule")
    (dashboard,) = (
        item for item in of_kind("postgresql", "ConfigMap") if "twite.json" in item["data"]
    )

    assert rule["spec"] == RULES
    assert dashboard["data"]["twite.json"] == (ROOT / "deploy/grafana/twite.json").read_text()
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert [path.name for path in (CHART / "files").iterdir() if not path.is_symlink()] == []


def test_prometheus_rules_select_the_job_of_the_service_monitor():
    (monitor,) = of_kind("postgresql", "ServiceMonitor")
    (service,) = of_kind("postgresql", "Service")
    (job,) = set(re.findall(r'job="(\w+)"', json.dumps(RULES).replace('\\"', '"')))

    labels = service["metadata"]["labels"]
    assert labels[monitor["spec"]["jobLabel"]] == job
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_prometheus_sends_the_metrics_key_of_the_gateway():
    (monitor,) = of_kind("postgresql", "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    (service,) = of_kind("postgresql", "Service")
    credentials = endpoint["authorization"]["credentials"]

    assert endpoint["path"] in {route.path for route in ROUTES}
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert credentials["name"] == POSTGRESQL["secret"]
    assert variables("postgresql")["TWITE_SERVER__METRICS_KEY"] == f"env:{credentials['key']}"


def test_change_of_settings_restarts_the_gateways():
    annotations = [
        item["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        for settings in ("# one\n", "# two\n")
        for item in rendered(SQLITE | {"settings": settings})
        if item["kind"] == "StatefulSet"
    ]

    assert len(set(annotations)) == 2


def test_another_helm_release_has_other_object_names():
    names = {
        (item["kind"], item["metadata"]["name"])
        for release in ("twite", "second")
        for item in rendered(SQLITE, release=release)
    }

    assert len(names) == 2 * len(rendered(SQLITE))


def test_archive_of_the_chart_contains_the_linked_files(tmp_path):
    with tarfile.open(packaged(tmp_path)) as archive:
        rules = archive.extractfile("twite/files/twite.rules.yml").read()

    assert yaml.safe_load(rules) == RULES


def test_chart_has_the_version_of_the_package():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"settings": ""}, "/settings"),
        ({"secret": ""}, "/secret"),
        ({"replica": 3}, "replica"),
        ({"store": {"kind": "mysql"}}, "/store/kind"),
        ({"store": {"kind": "postgresql", "urlKey": "a-b"}}, "/store/urlKey"),
        ({"autoscaling": {"enabled": True, "prometheusUrl": "http://p"}}, "/autoscaling/enabled"),
        ({"ingress": {"enabled": True, "host": ""}}, "/ingress/host"),
        ({"files": {"../x": ""}}, "../x"),
        ({"files": {"twite.toml": ""}}, "twite.toml"),
        ({"backup": {"enabled": True}}, "/backup/claim"),
        ({"store": {"kind": "postgresql"}, "backup": {"enabled": True, "claim": "c"}}, "/backup"),
    ],
)
def test_chart_refuses_a_wrong_value_and_names_it(values, place):
    with pytest.raises(Refused) as refused:
        rendered(SQLITE | values)

    assert place in str(refused.value)


def test_autoscaling_requires_prometheus():
    with pytest.raises(Refused, match="/autoscaling/prometheusUrl"):
        rendered(POSTGRESQL | {"autoscaling": {"enabled": True}})
    with pytest.raises(Refused, match="/monitoring/enabled"):
        rendered(POSTGRESQL | {"monitoring": {"enabled": False}})


def test_page_names_the_version_of_kubernetes_that_the_chart_needs():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["kubeVersion"] == ">=1.30.0-0"
    assert "Kubernetes 1.30 or newer" in PAGE
