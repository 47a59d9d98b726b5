"""The container image: any user id, a read-only root, no capabilities, signals as process 1, volumes from
engines and Kubernetes. BOXEDGE_BUILD_IMAGE=debootstrap (or a folder with a Debian 12) builds
deploy/Dockerfile for the same tests."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
import yaml

import image
from harness import PATIENCE
from podman import Podman, Unavailable

HOST = "demo-3000.preview.box.localhost"
TLS, HEALTH = 8443, 8444
GROUP = 5000
MANIFESTS = image.ROOT / "deploy/kubernetes"
# The storage driver of these tests copies the image for each container.
COPY_S = 180
LIMITS = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096", "--security-opt", "seccomp=unconfined")
CONFINED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/run/boxedge")
BASE = os.environ.get("BOXEDGE_BUILD_IMAGE", "")


@pytest.fixture(scope="module", name="podman", params=["quick", "built"] if BASE else ["quick"])
def fixture_podman(request):
    """With the image in it."""
    if os.geteuid() != 0:
        pytest.skip("containers with addresses of their own need root")
    built = request.param == "built"
    for tool in ("podman", "runc", *(["debootstrap"] if built and BASE == "debootstrap" else [])):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}")
    with contextlib.ExitStack() as stack:
        try:
            podman = Podman()
        except Unavailable as why:
            pytest.skip(str(why))
        stack.callback(podman.close)
        podman.clean()
        podman.make_folders()
        try:
            if built:
                image.build(podman, BASE)
            else:
                image.import_quick(podman)
        except RuntimeError as error:
            if "remount /, flags" not in str(error):
                raise
            pytest.skip("podman unpacks no image here: the root folder is no mount point, as in a chroot")
        try:
            podman.run("run", "-d", "--name", "probe", *LIMITS, image.NAME, timeout=COPY_S)
            podman.run("exec", "probe", "/usr/bin/boxedge", "version")
        except RuntimeError as error:
            pytest.skip(f"podman cannot run a container here, and a command in it: {error}")
        podman.run("rm", "-f", "-t", "0", "probe")
        yield podman


class Container:
    """A container of the image with its defaults, and a volume for its state."""

    def __init__(self, podman, *options, state="state", command=()):
        self.podman, self.name = podman, f"edge{time.monotonic_ns()}"
        podman.run("run", "-d", "--name", self.name, "--network", "box", "--no-hosts", "-v", f"{state}:/var/lib/boxedge",
                   *LIMITS, *options, image.NAME, *command, timeout=COPY_S)

    def boxedge(self, *arguments, check=True):
        return self.podman.run("exec", self.name, "/usr/bin/boxedge", *arguments, check=check)

    def inspect(self):
        return json.loads(self.podman.run("inspect", self.name))[0]

    def log(self):
        done = subprocess.run([*self.podman.command, "logs", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, env=self.podman.env, timeout=PATIENCE)
        return done.stdout

    def wait_said(self, text):
        deadline = time.monotonic() + PATIENCE
        while text not in self.log():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def wait_ready(self):
        deadline = time.monotonic() + PATIENCE
        while self.boxedge("status", "--ready", check=False) != "ready\n":
            state = self.inspect()["State"]
            assert state["Running"] and time.monotonic() < deadline, f"{state}\n{self.log()}"
            time.sleep(0.1)
        return self

    @property
    def address(self):
        return self.inspect()["NetworkSettings"]["Networks"]["box"]["IPAddress"]

    @property
    def processes(self):
        """The status of each of its processes."""
        group = pathlib.Path(f"/proc/{self.inspect()['State']['Pid']}/ns/pid").readlink()
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (entry / "ns/pid").readlink() == group:
                    lines = (entry / "status").read_text(encoding="ascii").splitlines()
                    yield dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def state_dir(self):
        mounts = {mount["Destination"]: mount["Source"] for mount in self.inspect()["Mounts"]}
        return pathlib.Path(mounts["/var/lib/boxedge"])

    def connect(self):
        context = ssl.create_default_context(cafile=str(self.state_dir() / "ca/ca.pem"))
        return context.wrap_socket(socket.create_connection((self.address, TLS), PATIENCE), server_hostname=HOST)

    def get(self, path="/"):
        with self.connect() as tls:
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{TLS}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: tls.recv(65536), b"")).decode()

    def stop(self):
        """Its exit status."""
        self.podman.run("stop", self.name)
        return self.inspect()["State"]["ExitCode"]

    def remove(self):
        self.podman.run("rm", "-f", "-t", "0", self.name)


@pytest.fixture
def run(podman):
    made = []

    def start(*options, **kw):
        made.append(Container(podman, *options, **kw))
        return made[-1]

    yield start
    for one in made:
        print(one.log())
        one.remove()
    podman.run("volume", "rm", "-a", "-f")


def ids(container, name):
    return {process[name].split()[1] for process in container.processes}


def test_any_user_without_rights(run):
    edge = run("--user", "12345", *CONFINED).wait_ready()
    edge.boxedge("preview", "create", "demo", "3000")
    assert "<title>boxedge demo" in edge.get()
    assert ids(edge, "Uid") == {"12345"}
    assert {process["CapEff"].strip("0") for process in edge.processes} == {""}
    with socket.create_connection((edge.address, HEALTH), PATIENCE) as health:
        health.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert health.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert edge.stop() == 0


def test_sigterm_lets_an_open_request_end(run):
    edge = run("--user", "12345", *CONFINED).wait_ready()
    edge.boxedge("preview", "create", "demo", "3000")
    edge.get()
    answers = []
    with edge.connect() as tls:
        tls.sendall(f"GET /slow?ms=2000 HTTP/1.1\r\nHost: {HOST}:{TLS}\r\nConnection: close\r\n\r\n".encode())
        reader = threading.Thread(target=lambda: answers.append(tls.recv(65536)))
        reader.start()
        assert edge.stop() == 0
        reader.join()
    assert answers[0].startswith(b"HTTP/1.1 200 ")
    assert "draining" in edge.log()


def test_state_outlives_the_container(run):
    first = run("--user", "12345", *CONFINED).wait_ready()
    first.boxedge("preview", "create", "demo", "3000")
    assert first.stop() == 0
    authority = (first.state_dir() / "ca/ca.pem").read_bytes()
    second = run("--user", "12345", *CONFINED).wait_ready()
    assert "<title>boxedge demo" in second.get()
    assert (second.state_dir() / "ca/ca.pem").read_bytes() == authority


def test_the_user_of_the_image(run):
    edge = run().wait_ready()
    assert ids(edge, "Uid") == {"10001"}
    assert edge.stop() == 0


def test_root_gives_its_rights_up(run):
    """Workers and the controller are the image's user; the supervisor keeps root's rights, as everywhere."""
    edge = run("--user", "0").wait_ready()
    edge.boxedge("preview", "create", "demo", "3000")
    assert "<title>boxedge demo" in edge.get()
    assert ids(edge, "Uid") == {"0", "10001", "65534"}
    assert edge.stop() == 0


def test_a_volume_of_root_that_the_group_may_write(run, tmp_path):
    """As Kubernetes mounts it with fsGroup, which also changes group and modes of existing files."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "lost+found").mkdir(mode=0o700)

    def as_kubelet():
        for path in (volume, *volume.rglob("*")):
            os.chown(path, -1, GROUP)
            path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))

    for _ in range(2):
        as_kubelet()
        edge = run("--user", f"12345:{GROUP}", *CONFINED, state=volume).wait_ready()
        edge.boxedge("preview", "create", "demo", "3000")
        assert "<title>boxedge demo" in edge.get()
        assert edge.stop() == 0


def test_the_configuration_of_kubernetes(run, tmp_path):
    """With folders as the kubelet mounts them: the volume and a tmpfs of root and the group, readable
    files."""
    folders = {name: tmp_path / name for name in ("etc/boxedge", "etc/boxedge-tls", "var/lib/boxedge", "run/boxedge")}
    for folder in folders.values():
        folder.mkdir(parents=True)
        os.chown(folder, 0, GROUP)
        folder.chmod(0o2770)
    manifest = yaml.safe_load((MANIFESTS / "configmap.yaml").read_text(encoding="utf-8"))
    files = [folders["etc/boxedge"] / "boxedge.yaml", folders["etc/boxedge-tls"] / "tls.key",
             folders["etc/boxedge-tls"] / "tls.crt"]
    files[0].write_text(manifest["data"]["boxedge.yaml"])
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=x", "-addext", "subjectAltName=DNS:*.preview.box.example.com", "-keyout", files[1], "-out",
                    files[2]], check=True, capture_output=True, timeout=60)
    for file in files:
        os.chown(file, 0, GROUP)
        file.chmod(0o440)
    binds = [option for name, folder in folders.items() if name.split("/")[0] != "var" for option in
             ("-v", f"{folder}:/{name}")]
    rights = ("--user", f"10001:{GROUP}", "--read-only", "--cap-drop", "ALL")
    edge = run(*rights, *binds, state=folders["var/lib/boxedge"])
    edge.wait_ready()
    context = ssl.create_default_context(cafile=str(files[2]))
    with context.wrap_socket(socket.create_connection((edge.address, TLS), PATIENCE),
                             server_hostname="web-3000.preview.box.example.com") as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: web-3000.preview.box.example.com\r\n\r\n")
        assert tls.recv(65536).startswith(b"HTTP/1.1 404 ")
    with socket.create_connection((edge.address, 9464), PATIENCE) as scraper:
        scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"boxedge_worker_up{" in b"".join(iter(lambda: scraper.recv(65536), b""))
    edge.podman.run("kill", "--signal", "TERM", edge.name)
    while edge.boxedge("status", "--ready", check=False) == "ready\n":
        assert edge.inspect()["State"]["Running"]
    edge.podman.run("kill", "--signal", "TERM", edge.name)
    edge.podman.run("wait", edge.name)
    assert edge.inspect()["State"]["ExitCode"] == 0, edge.log()


def test_a_volume_of_another_user_is_named(run):
    assert run("--user", "12345", *CONFINED).wait_ready().stop() == 0
    edge = run("--user", "23456", *CONFINED)
    edge.podman.run("wait", edge.name)
    assert edge.inspect()["State"]["ExitCode"] == 1
    assert "/var/lib/boxedge/store" in edge.log()
    assert "belongs to user 12345, but the edge runs as user 23456" in edge.log()


def test_process_1_is_replaced_with_its_container(run):
    """An upgrade would end process 1, and the container with it."""
    edge = run("--user", "12345", *CONFINED).wait_ready()
    edge.boxedge("upgrade", check=False)
    assert "replace the container" in edge.log()
    edge.wait_ready()
    edge.podman.run("kill", "--signal", "HUP", edge.name)
    edge.boxedge("reload")
    assert edge.stop() == 0


def test_two_edges_share_no_volume(run):
    first = run("--user", "12345", *CONFINED).wait_ready()
    second = run("--user", "12345", *CONFINED)
    second.podman.run("wait", second.name)
    assert second.inspect()["State"]["ExitCode"] == 1 and "/var/lib/boxedge" in second.log()
    first.wait_ready()
    assert first.stop() == 0


def test_the_health_check_is_the_edge_s_own(run):
    edge = run("--user", "12345", *CONFINED).wait_ready()
    if "Healthcheck" not in edge.inspect()["Config"]:
        pytest.skip("`podman import` takes no HEALTHCHECK")
    edge.podman.run("healthcheck", "run", edge.name)
    assert edge.stop() == 0
