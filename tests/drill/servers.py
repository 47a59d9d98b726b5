"""The servers of the drill, behind one interface: their operators' changes and actions, and the faults of
their processes."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import time

import harness
from harness import DOMAIN, PORTS, SLOW
from processes import IMPOSTOR, gone, said, serving

STOPPED_S = 3  # shorter than timeouts.heartbeat
HUNG_S = 5
# The time for an end in order. In other events it is shorter than the exchanges, which outlive it beside a successor.
DRAIN_S, SHORT_DRAIN_S = 12, 1
# "A binary" that ends immediately, or hangs.
FAILING = "#!/bin/sh\nexit 3\n"
HANGING = "#!/bin/sh\nexec sleep 1000\n"


@dataclasses.dataclass
class Settings:
    """The changes of a reload, which each server has in its own terms."""

    workers: int = 2
    extra: tuple = ()  # ports of further TLS listeners
    pair: str = "live"  # the files of the certificate
    keep_alive: int = 75
    fields: int = 100  # the most that a head may have
    routes: int = 0  # further names and their origins
    log: int = 0  # the number of the access log's file
    process: int = 0  # changes a process box
    broken: bool = False
    short_drain: bool = True


class Keys:
    """An authority, and certificates that it signed: the pairs `a`, `b` and `live`, which holds one of the others."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.ca = directory / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                      "-subj", "/CN=drill", "-keyout", "ca.key", "-out", "ca.pem")
        for name in ("a", "b"):
            self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                          "-addext", f"subjectAltName=DNS:*.{DOMAIN}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                          "-days", "9", "-copy_extensions", "copy", "-out", f"{name}.pem")
        self.put("a")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)

    def put(self, name):
        """Replaces the files of `live`, each atomically by a rename; `both` is chain and key in one."""
        chain, key = self.chain(name).read_text(), self.key(name).read_text()
        for target, text in ((self.key("live"), key), (self.chain("live"), chain)):
            beside = target.with_suffix(".new")
            beside.write_text(text)
            beside.chmod(0o600)
            beside.rename(target)
        for each in ("a", "b", "live"):
            self.both(each).write_text(self.chain(each).read_text() + self.key(each).read_text()
                                       if self.chain(each).exists() else "")

    def chain(self, name):
        return self.directory / f"{name}.pem"

    def key(self, name):
        return self.directory / f"{name}.key"

    def both(self, name):
        return self.directory / f"{name}.both"

    def context(self, alpn):
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(list(alpn))
        return context


class Skip(Exception):
    """This server has no such event."""


class Server:
    """`port` is its first TLS listener. Every method returns once it has had its effect."""

    name = None
    roles = ()

    def __init__(self, directory, keys, apps):
        self.directory, self.keys, self.apps = directory, keys, apps
        self.port, self.settings = PORTS.take(), Settings()
        self.extra = tuple(PORTS.take() for _ in range(3))
        directory.mkdir(parents=True)

    def names(self):
        """The host names of the apps."""
        return [harness.Edge.host(port) for port in self.apps]

    def shown(self):
        """The certificate of a new connection."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            with self.keys.context(["http/1.1"]).wrap_socket(sock, server_hostname=self.names()[0]) as tls:
                return tls.getpeercert(True)

    def wait(self, predicate, what, seconds=20):
        deadline = time.monotonic() + seconds * SLOW
        while not (value := predicate()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: {what} did not happen within {seconds * SLOW} s")
            time.sleep(0.02)
        return value

    def wait_until_shown(self, name):
        der = ssl.PEM_cert_to_DER_cert(self.keys.chain(name).read_text())
        self.wait(lambda: self.shown() == der, "the new certificate")

    def clients_of(self, pids):
        """The client ports of these processes' connections; None if this user may not look."""
        inodes = set()
        try:
            for pid in pids:
                for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(FileNotFoundError):
                        inodes.add(os.readlink(fd))
        except PermissionError:
            return None
        ports = {self.port, *self.extra}
        found = set()
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            local, remote = (int(fields[n].split(":")[1], 16) for n in (1, 2))
            if local in ports and f"socket:[{fields[9]}]" in inodes:
                found.add(remote)
        return found

    def freeze(self, pid):
        """SIGSTOP. The process runs for another moment: it accepts no more once the kernel shows it as
        stopped."""
        stat = pathlib.Path(f"/proc/{pid}/stat")
        os.kill(pid, signal.SIGSTOP)
        self.wait(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "the stop of a process")

    def kill(self, role):
        """SIGKILL to a process; the client ports of its connections. It is stopped meanwhile, so it accepts no more."""
        pid = self.pids(role)[0]
        self.freeze(pid)
        clients = self.clients_of([pid]) if role == "worker" else set()
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: gone(pid), "the death")
        self.recover(role, pid)
        return clients

    def stop_for_a_while(self, role):
        pid = self.pids(role)[0]
        os.kill(pid, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        os.kill(pid, signal.SIGCONT)

    def change(self, **settings):
        """A reload with the changed settings."""
        self.settings = dataclasses.replace(self.settings, **settings)
        self.configure()
        self.reload()

    def renew(self, name):
        self.keys.put(name)
        self.wait_until_shown(name)

    def replace_binary(self, source):
        """`source` is a path, or the text of a script."""
        if isinstance(source, str):
            self.binary.with_suffix(".new").write_text(source)
        else:
            shutil.copy(source, self.binary.with_suffix(".new"))
        self.binary.with_suffix(".new").chmod(0o755)
        self.binary.with_suffix(".new").rename(self.binary)


class Boxedge(Server):
    """An edge of tests/e2e/harness.py. `config` is merged over its configuration."""

    name = "boxedge"
    roles = ("worker", "controller", "logger", "runner", "supervisor")

    def __init__(self, directory, keys, apps, config=None, other=None):
        super().__init__(directory, keys, apps)
        self.config, self.other = config, other
        self.good, self.binary = harness.BINARY, directory / "boxedge"
        shutil.copy(self.good, self.binary)
        self.edge = harness.Edge(directory / "edge", kinds=(), start=False)
        self.edge.expect_deaths = True
        self.base = self.edge.config
        self.process_port, self.api_port = PORTS.take(), PORTS.take()

    @classmethod
    def version(cls):
        done = subprocess.run([harness.BINARY, "version"], capture_output=True, text=True, check=False)
        return done.stdout.splitlines()[0]

    def configure(self):
        now = self.settings
        drain = SHORT_DRAIN_S if now.short_drain else DRAIN_S * SLOW
        listeners = [{"kind": "tls", "address": f"127.0.0.1:{port}"} for port in (self.port, *now.extra)]
        boxes = [harness.local_box("box", *self.apps)]
        config = {
            "listeners": listeners, "workers": now.workers, "public_port": self.port,
            "certificates": [{"chain": str(self.keys.chain(now.pair)), "key": str(self.keys.key(now.pair))}],
            "limits": {"head_fields": now.fields, "connections_per_client": 0},
            "timeouts": {"drain": f"{drain}s", "keep_alive": f"{now.keep_alive}s"},
            "log": {"access": str(self.directory / f"access-{now.log}.log")},
            "processes": [{"id": "process", "ports": [self.process_port],
                           "command": ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1",
                                       "--directory", "/usr", str(self.process_port)],
                           "environment": [f"NUMBER={now.process}"], "user": "nobody"}],
            "boxes": boxes + [harness.local_box(f"more-{n}", self.apps[0]) for n in range(now.routes)],
        }
        if now.routes:
            config |= {
                "upstreams": [{"name": "api", "servers": [f"127.0.0.1:{self.api_port}"]}],
                "plans": [{"name": "free", "rate": f"{now.routes}/s", "burst": 10}],
                "api": {"hosts": [f"api-{now.routes}.box.localhost"], "upstream": "api", "client_plan": "free"},
            }
        if now.broken:
            config["timeots"] = {}
        self.edge.config = harness.merge(harness.merge(self.base, config), self.config)
        self.edge.write_config()

    def start(self):
        self.configure()
        harness.BINARY = self.binary
        try:
            self.edge.start()
        finally:
            harness.BINARY = self.good
        return self

    def names(self):
        """Only root may start processes as another user."""
        return super().names() + ([harness.Edge.host(self.process_port, "process")] if os.geteuid() == 0 else [])

    def prepare(self):
        for port in self.apps:
            self.edge.create_preview(port)
        self.edge.create_preview(self.process_port, "process")

    def reload(self):
        if self.settings.broken:  # the command would find the fault by itself
            start = self.mark()
            os.kill(serving(self.edge), signal.SIGHUP)
            said(self.edge, "not reloaded", start)
            return
        self.edge.command("reload")
        now = self.settings.workers
        self.wait(lambda: len(self.edge.pids("worker")) == now, f"{now} workers")

    def pids(self, role):
        return [serving(self.edge)] if role == "supervisor" else self.edge.pids(role)

    def mark(self):
        return len(self.edge.stderr.lines)

    def recover(self, role, pid):
        self.wait(lambda: self.pids(role) and pid not in self.pids(role), f"the next {role}")
        if role in ("worker", "controller", "runner"):
            self.wait(lambda: self.edge.command("status", "--ready", check=False).returncode == 0, "a ready edge")

    def kill_all(self):
        """SIGKILL to the supervisor, with which all processes end; then a start, like systemd's."""
        clients = self.clients_of(self.pids("worker"))
        os.kill(self.pids("supervisor")[0], signal.SIGKILL)
        self.edge.process.wait(20)
        self.start()
        return clients

    def hang(self, role):
        """A permanent SIGSTOP: the edge replaces the process."""
        pid, start = self.pids(role)[0], self.mark()
        self.freeze(pid)
        clients = self.clients_of([pid])
        said(self.edge, "is back", start)
        return clients

    def upgrade(self, kind):
        start, old = self.mark(), serving(self.edge)
        self.replace_binary({"same": self.good, "other": self.other, "failing": FAILING, "hanging": HANGING,
                             "late": IMPOSTOR % 1000}[kind])
        os.kill(old, signal.SIGUSR2)
        if kind == "hanging":
            time.sleep(HUNG_S)
            for pid in self.edge.pids("sleep"):
                os.kill(pid, signal.SIGKILL)
        if kind in ("same", "other"):
            said(self.edge, "serves now", start, 60)
        else:
            said(self.edge, "did not take over", start, 60)
            assert serving(self.edge) == old
        if kind == "late":
            said(self.edge, "controller is back", start)

    def drain(self):
        os.kill(serving(self.edge), signal.SIGTERM)
        self.edge.process.wait(DRAIN_S * SLOW + 10)

    def close(self):
        """Ends the remaining processes, and looks for reports of sanitizers."""
        with contextlib.suppress(ProcessLookupError, OSError, ValueError):
            os.kill(serving(self.edge), signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.edge.process.wait(5 * SLOW)
        self.edge.kill()
        shutil.rmtree(self.edge.run_dir, ignore_errors=True)
        self.edge.check_reports()

    def output(self):
        return "\n".join(self.edge.stderr.lines[-40:])
