"""deploy/compose.yaml against its configuration. The manifests of deploy/kubernetes: against the schemas that Kubernetes
publishes (the Python package kubernetes-validate in build/venv), and against each other and the image; test_image.py
runs their configuration."""

import subprocess

import pytest
import yaml

import image
from harness import BINARY, ROOT

FOLDER = ROOT / "deploy/kubernetes"
VALIDATOR = ROOT / "build/venv/bin/kubernetes-validate"
VERSIONS = ["1.28", "1.37"]
# Their schemas are cert-manager's and the Prometheus operator's, and not in the package: nothing here
# validates them.
FOREIGN = {"Certificate", "ServiceMonitor"}


def documents():
    return [one for path in sorted(FOLDER.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]


def one(kind, name="boxedge"):
    return next(made for made in documents() if made["kind"] == kind and made["metadata"]["name"] == name)


def pod():
    return one("StatefulSet")["spec"]["template"]["spec"]


def config():
    return yaml.safe_load(one("ConfigMap")["data"]["boxedge.yaml"])


def seconds(duration):
    assert duration.endswith("s") and not duration.endswith("ms")
    return int(duration[:-1])


@pytest.mark.skipif(not VALIDATOR.exists(), reason="kubernetes-validate is not in build/venv")
@pytest.mark.parametrize("version", VERSIONS)
def test_the_published_schemas_take_them(version):
    for path in sorted(FOLDER.glob("*.yaml")):
        done = subprocess.run([VALIDATOR, "--strict", "-k", version, path], capture_output=True, text=True, check=False,
                              timeout=60)
        said = done.stdout + done.stderr
        kinds = [made["kind"] for made in yaml.safe_load_all(path.read_text())]
        assert done.returncode == 0 and said.count(" passed ") == sum(kind not in FOREIGN for kind in kinds), said


@pytest.mark.skipif(not VALIDATOR.exists(), reason="kubernetes-validate is not in build/venv")
def test_the_validator_finds_a_wrong_key(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((FOLDER / "statefulset.yaml").read_text().replace("readinessProbe:", "readynessProbe:"))
    assert subprocess.run([VALIDATOR, "--strict", wrong], capture_output=True, check=False, timeout=60).returncode != 0


def test_ports_agree():
    listeners = {int(each["address"].rsplit(":", 1)[1]): each["kind"] for each in config()["listeners"]}
    named = {each["name"]: each["containerPort"] for container in pod()["containers"] for each in container["ports"]}
    assert {listeners[port] for port in named.values()} == {"tls", "redirect", "health", "metrics"}
    services = [made for made in documents() if made["kind"] == "Service"]
    assert {each["targetPort"] for made in services for each in made["spec"]["ports"]} <= set(named)
    public = {each["targetPort"]: each["port"] for each in one("Service")["spec"]["ports"]}
    assert public == {"https": config()["public_port"], "http": 80} and listeners[named["https"]] == "tls"
    assert one("StatefulSet")["spec"]["serviceName"] in [made["metadata"]["name"] for made in services]
    labels = one("StatefulSet")["spec"]["template"]["metadata"]["labels"].items()
    assert all(made["spec"]["selector"].items() <= labels for made in services)


def test_the_monitor_finds_the_metrics():
    monitor = one("ServiceMonitor")["spec"]
    found = [made for made in documents() if made["kind"] == "Service"
             and monitor["selector"]["matchLabels"].items() <= made["metadata"]["labels"].items()]
    assert [made["metadata"]["name"] for made in found] == ["boxedge-pods"]
    assert found[0]["metadata"]["labels"][monitor["jobLabel"]] == "boxedge"  # of alerts and dashboard
    ports = {each["name"]: each["targetPort"] for each in found[0]["spec"]["ports"]}
    target = ports[monitor["endpoints"][0]["port"]]
    (port,) = [each["containerPort"] for each in pod()["containers"][0]["ports"] if each["name"] == target]
    assert [each["kind"] for each in config()["listeners"] if each["address"] == f"0.0.0.0:{port}"] == ["metrics"]


def test_the_kubelet_waits_for_the_drain():
    timeouts = config()["timeouts"]
    assert pod()["terminationGracePeriodSeconds"] > seconds(timeouts["drain_delay"]) + seconds(timeouts["drain"])
    readiness = pod()["containers"][0]["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < seconds(timeouts["drain_delay"])


def test_folders_agree():
    for container in pod()["containers"]:
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        assert mounts["/run/boxedge"] == "run"
    mounts = {each["mountPath"]: each["name"] for each in pod()["containers"][0]["volumeMounts"]}
    assert mounts[config()["state_dir"]] == "state" and mounts[config()["run_dir"]] == "run"
    names = {each["name"] for each in pod()["volumes"]} | {
        each["metadata"]["name"] for each in one("StatefulSet")["spec"]["volumeClaimTemplates"]}
    assert set(mounts.values()) == names
    certificate = config()["certificates"][0]
    assert mounts[certificate["chain"].rsplit("/", 1)[0]] == "tls"
    assert [each["secret"]["secretName"] for each in pod()["volumes"] if "secret" in each] == [
        one("Certificate")["spec"]["secretName"]]
    assert one("Certificate")["spec"]["dnsNames"] == [f"*.{config()['preview_domain']}"]


def test_the_user_is_the_image_s():
    assert ("USER", str(pod()["securityContext"]["runAsUser"])) in image.last_stage()
    for container in pod()["containers"]:
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] and rights["capabilities"] == {"drop": ["ALL"]}
        assert rights["allowPrivilegeEscalation"] is False


# ---- compose

def test_the_edge_takes_the_configuration_of_compose():
    done = subprocess.run([BINARY, "check", "-c", ROOT / "deploy/compose-edge.yaml", "--elsewhere"], capture_output=True,
                          text=True, check=False, timeout=60)
    assert done.returncode == 0 and "0 warnings" in done.stdout, done.stdout + done.stderr


def test_boxes_of_compose_are_where_its_services_are():
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    edge = yaml.safe_load((ROOT / "deploy/compose-edge.yaml").read_text())
    boxes = {box["id"]: (box["address"], box["ports"]) for box in edge["boxes"]}
    assert boxes == {name: (service["networks"]["boxes"]["ipv4_address"], [int(service["command"][2])])
                     for name, service in services.items() if name != "edge"}
    assert seconds(services["edge"]["stop_grace_period"]) > seconds(edge["timeouts"]["drain"])
    assert services["edge"]["user"].split(":")[0] == dict(image.last_stage())["USER"]
