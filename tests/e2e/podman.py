"""Real containers for tests: a separate podman, with its storage, network and API socket in a separate folder, so
that parallel runs do not meet; and a tiny image with one static program in it (podman_app.c).

Podman.start gives the reason if containers cannot run here."""

import contextlib
import ctypes
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tarfile
import time

from harness import PATIENCE, SLOW

SOURCE = pathlib.Path(__file__).with_name("podman_app.c")
SLOTS = 24
IMAGE = "boxedge-test:1"
PORT = 3000


class Unavailable(Exception):
    """Containers cannot run here; the sentence gives the reason."""


class Container:
    """A running container of the image; `env` are the variables of podman_app.c."""

    def __init__(self, podman, name, box, labels=None, env=None, address=None, start=True, tty=False):
        self.podman, self.name = podman, name
        options = ["-t"] if tty else []
        for key, value in {"id": box, **(labels or {})}.items():
            options += ["--label", f"boxedge.{key}={value}"]
        for key, value in {"PORT": PORT, "NAME": name, **(env or {})}.items():
            options += ["--env", f"{key}={value}"]
        if address:
            options += ["--ip", address]
        podman.run("run" if start else "create", *(["-d"] if start else []), "--name", name, "--network", "box",
                   "--no-hosts", "--stop-timeout", "0", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096",
                   "--security-opt", "seccomp=unconfined", *options, IMAGE)

    def pause(self):
        self.podman.run("pause", self.name)

    def start(self):
        self.podman.run("start", self.name)

    def stop(self):
        self.podman.run("stop", "-t", "0", self.name)

    def remove(self):
        self.podman.run("rm", "-f", "-t", "0", self.name)

    def inspect(self):
        return json.loads(self.podman.run("inspect", self.name))[0]

    @property
    def status(self):
        return self.inspect()["State"]["Status"]

    @property
    def address(self):
        return self.inspect()["NetworkSettings"]["Networks"]["box"]["IPAddress"]


class Podman:
    """podman with everything in /tmp/be-podman-<slot>; leftovers of a killed run are removed first."""

    def __init__(self):
        self.slot, self.lock = self._take_slot()
        self.directory = pathlib.Path(f"/tmp/be-podman-{self.slot}")
        self.socket = self.directory / "api.sock"
        self.network = f"10.231.{self.slot}.0/24"
        self.bridge = f"bepod{self.slot}"
        self.service = None
        self.env = {**os.environ, "CONTAINERS_CONF": str(self.directory / "containers.conf"),
                    "REGISTRIES_CONFIG_PATH": "/dev/null"}
        for name in ("CONTAINER_HOST", "DOCKER_HOST"):
            self.env.pop(name, None)

    @staticmethod
    def _take_slot():
        for slot in range(1, SLOTS + 1):
            lock = socket.socket(socket.AF_UNIX)
            try:
                lock.bind(f"\0be-podman-{slot}")  # an abstract name: free again when the process ends, for whatever reason
                return slot, lock
            except OSError:
                lock.close()
        raise Unavailable("too many tests with containers run at a time")

    def address(self, host):
        return f"10.231.{self.slot}.{host}"

    @property
    def command(self):
        at = self.directory
        return ["podman", "--root", str(at / "root"), "--runroot", str(at / "run"), "--tmpdir", str(at / "tmp"),
                "--network-config-dir", str(at / "net"), "--storage-driver", "vfs", "--runtime", "runc",
                "--cgroup-manager", "cgroupfs", "--events-backend", "file"]

    def run(self, *arguments, check=True, timeout=PATIENCE * SLOW):
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=False, env=self.env,
                              stdin=subprocess.DEVNULL, timeout=timeout)
        if check and done.returncode != 0:
            raise RuntimeError(f"podman {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def container(self, name, box=None, **kw):
        return Container(self, name, box or name, **kw)

    # ---- life

    def start(self):
        if os.geteuid() != 0:
            raise Unavailable("containers with addresses of their own need root")
        for tool in ("podman", "runc", "gcc"):
            if shutil.which(tool) is None:
                raise Unavailable(f"there is no {tool}")
        self.clean()
        try:
            self.make_folders()
            self._make_image()
            probe = self.container("probe", "probe")
            self.no_exec = self._try_exec()
            probe.remove()
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            self.clean()
            raise Unavailable(f"podman cannot run a container here: {error}") from error
        self.start_service()
        return self

    def _try_exec(self):
        """The reason why podman can start no command in a container, as in a chroot; None if it can."""
        try:
            self.run("exec", "probe", "/bin/sh", "-c", "probe")
        except RuntimeError as error:
            return str(error)
        return None

    def make_folders(self):
        (self.directory / "net").mkdir(parents=True)
        # The locks of containers are in this folder too, and not shared by name with every other podman.
        (self.directory / "containers.conf").write_text(
            f'[engine]\nlock_type = "file"\nvolume_path = "{self.directory}/volumes"\n', encoding="ascii")
        network = {
            "name": "box", "id": f"{self.slot:064x}", "driver": "bridge", "network_interface": self.bridge,
            "created": "2026-01-01T00:00:00Z", "ipv6_enabled": False, "internal": True, "dns_enabled": False,
            "subnets": [{"subnet": self.network, "gateway": self.address(1)}], "ipam_options": {"driver": "host-local"},
        }
        (self.directory / "net/box.json").write_text(json.dumps(network), encoding="ascii")

    def _make_image(self):
        program = self.directory / "app"
        subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-pthread", "-o", program, SOURCE], check=True,
                       timeout=60, capture_output=True)
        image = io.BytesIO()
        with tarfile.open(fileobj=image, mode="w") as tar:
            for name in ("app", "bin/sh"):
                tar.add(program, name)
        (self.directory / "image.tar").write_bytes(image.getvalue())
        self.run("import", "-c", 'ENTRYPOINT ["/app"]', str(self.directory / "image.tar"), IMAGE)

    def start_service(self):
        def before_exec():
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it goes when the test process does

        log = open(self.directory / "service.log", "ab")  # pylint: disable=consider-using-with
        self.service = subprocess.Popen(  # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
            [*self.command, "system", "service", "--time=0", f"unix://{self.socket}"], env=self.env, stdout=log,
            stderr=log, stdin=subprocess.DEVNULL, preexec_fn=before_exec)
        log.close()
        deadline = time.monotonic() + PATIENCE * SLOW
        while not self.socket.exists():
            if self.service.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the API service did not start: " + self.service_log())
            time.sleep(0.01)

    def service_log(self):
        return (self.directory / "service.log").read_text(errors="replace")[-2000:]

    def stop_service(self):
        if self.service is None:
            return
        self.service.kill()
        self.service.wait(10)
        self.service = None
        self.socket.unlink(missing_ok=True)

    def clean(self):
        """Removes everything, also leftovers of a killed run."""
        self.stop_service()
        if (self.directory / "root").exists():
            with contextlib.suppress(subprocess.SubprocessError):
                self.run("rm", "-a", "-f", "-t", "0", check=False)
        self._end_monitors()
        for line in pathlib.Path("/proc/mounts").read_text(encoding="ascii", errors="replace").splitlines():
            if line.split()[1].startswith(f"{self.directory}/"):
                subprocess.run(["umount", "-l", line.split()[1]], check=False, capture_output=True, timeout=10)
        with contextlib.suppress(OSError):  # podman removes it itself, unless it was killed
            subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True, timeout=10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end_monitors(self):
        """conmon stays for minutes after an exec, and forever after a container started during its
        removal."""
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else [b""]
                if not arguments[0].endswith(b"/conmon") or f"{self.directory}/".encode() not in b"\0".join(arguments):
                    continue
                children = (entry / "task" / entry.name / "children").read_text(encoding="ascii").split()
                for pid in (entry.name, *children):
                    os.kill(int(pid), signal.SIGKILL)

    def close(self):
        self.clean()
        self.lock.close()
