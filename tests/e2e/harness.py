"""A running edge for a test: its configuration, processes, output, and costs.

BOXEDGE_BINARY names the binary (build/release/boxedge). Names under *.localhost are never looked up: clients connect
to 127.0.0.1 and send the name.
"""

import contextlib
import copy
import ctypes
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest
import yaml

from origins import HttpOrigin, OriginConn, RawOrigin, WebSocketOrigin  # noqa: F401 (for tests)
from wire import PATIENCE, Message, Stream, WireError, parse_head  # noqa: F401 (for tests)

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("BOXEDGE_BINARY", ROOT / "build/release/boxedge")).resolve()
DOMAIN = "preview.box.localhost"
TICK = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def _is_sanitized():
    try:
        return b"__asan_init" in BINARY.read_bytes()
    except OSError:
        return False


# True under the sanitizers: memory is not judged there, and durations get more room.
SANITIZED = _is_sanitized()
SLOW = 4 if SANITIZED else 2

_REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|Assertion .* failed")

# The words of the supervisor and the runner; messages of libraries report other deaths ("Connection died").
_DEATH = re.compile(r"\(process \d+\) died|its box init died|killed by signal")


def end_with_the_test():
    """For a child before its exec: it ends when the test process does, for whatever reason. PR_SET_PDEATHSIG = 1."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Ports:
    """Free TCP ports below the ephemeral range; each pytest worker has a separate range, so that two edges (whose
    SO_REUSEPORT would let them share a port) never meet. A process locks each port that it takes until it ends, so
    that two simultaneous test runs do not meet either."""

    def __init__(self):
        self.locks = open(f"{tempfile.gettempdir()}/boxedge-test-ports-{os.getuid()}", "wb")
        worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "gw0")) or 0)
        self.low = 12000 + (worker % 8) * 2400
        self.high = self.low + 2400
        self.next = self.low + os.getpid() * 7 % 2400

    def take(self):
        for _ in range(self.high - self.low):
            port, self.next = self.next, self.next + 1 if self.next + 1 < self.high else self.low
            with socket.socket() as probe:
                try:
                    fcntl.lockf(self.locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
        raise RuntimeError("no free port")


PORTS = Ports()


def merge(base, extra):
    """`extra` over `base`, dictionaries merged all the way down; None removes a key. The result shares no part of `extra`: tests
    change the configuration of their edge."""
    out = dict(base)
    for key, value in (extra or {}).items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merge(out[key], value)
        else:
            out[key] = copy.deepcopy(value)
    return out


class Lines:
    """Lines of a pipe, read by a thread; waiting for one is waiting for an event."""

    def __init__(self, pipe, parse=None):
        self.lines = []
        self.ended = False
        self._parse = parse or (lambda line: line)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe):
        for raw in pipe:
            line = self._parse(raw.decode("utf-8", "replace").rstrip("\n"))
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def wait_for(self, predicate, timeout=PATIENCE * SLOW, start=0, count=1):
        """The first line (from index `start`) for which predicate holds; with `count` over 1 a list of that
        many."""
        deadline = time.monotonic() + timeout
        found, at = [], start
        with self._changed:
            while True:
                for at in range(at, len(self.lines)):
                    if predicate(self.lines[at]):
                        found.append(self.lines[at])
                        if len(found) == count:
                            return found[0] if count == 1 else found
                at = len(self.lines)
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    raise TimeoutError(f"no such line ({len(found)} of {count} found); last: {self.lines[-5:]}")
                self._changed.wait(left)

    def join(self, timeout):
        self._thread.join(timeout)


def _access_line(text):
    try:
        line = json.loads(text)
        return line if isinstance(line, dict) else {"unparsed": text}
    except ValueError:
        return {"unparsed": text}


def local_box(box, *ports, address="127.0.0.1"):
    """A static box on this machine. With ports (numbers or origins), only those may have previews: needed
    beside an API host."""
    declared = {"ports": [getattr(port, "port", port) for port in ports]} if ports else {}
    return {"id": box, "address": address, **declared}


class Edge:
    """A running edge. `config` is merged over the defaults below. Listeners, each on a free port of 127.0.0.1: tls,
    plain, redirect and health (edge.port[kind]). The box `box` is at 127.0.0.1, so that a preview of it reaches any server on the preview's port there."""

    def __init__(self, directory, workers=1, config=None, kinds=("tls", "plain", "redirect", "health"), env=None,
                 start=True, boxes=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = {kind: PORTS.take() for kind in kinds}
        self.config_path = self.directory / "boxedge.yaml"
        self.state_dir = self.directory / "state"
        # A socket's path is at most 107 bytes: pytest's folders may be longer.
        self.run_dir = pathlib.Path(f"/tmp/be-{os.getpid()}-{next(iter(self.port.values()), 0)}")
        self.admin_socket = self.run_dir / "admin.sock"
        for folder in (self.state_dir, self.run_dir):
            folder.mkdir(exist_ok=True)
        self.config = merge(
            {
                "listeners": [{"kind": k, "address": f"127.0.0.1:{p}"} for k, p in self.port.items()],
                "preview_domain": DOMAIN,
                "public_port": self.port.get("tls", 443),
                "node": "test",
                "workers": workers,
                "user": "",
                "state_dir": str(self.state_dir),
                "run_dir": str(self.run_dir),
                "admin": {"socket": str(self.admin_socket)},
                "log": {"access": "stdout"},
                "timeouts": {"drain": "2s"},
                "boxes": boxes or [local_box("box", *([3000] if "api" in (config or {}) else []))],
            },
            config,
        )
        self.env = {**os.environ, **(env or {})}
        self.process = None
        self.stderr = self.access = None
        self.expect_deaths = False  # a test that kills workers sets it
        self.launcher, self.pass_fds = [], ()  # a program that becomes the edge, and the descriptors that it inherits
        self._context = None
        if start:
            self.start()

    # ---- life

    def write_config(self):
        self.config_path.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def start(self, timeout=PATIENCE * SLOW):
        self.write_config()
        self.process = subprocess.Popen(
            [*self.launcher, str(BINARY), "run", "-c", str(self.config_path)], cwd=self.directory, env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            preexec_fn=end_with_the_test, pass_fds=self.pass_fds,
        )
        self.stderr = Lines(self.process.stderr)
        self.access = Lines(self.process.stdout, _access_line)
        try:
            self.stderr.wait_for(lambda line: "boxedge: ready: " in line or '"code":"ready"' in line, timeout)
        except TimeoutError:
            self.kill()
            raise RuntimeError("the edge did not start:\n" + "\n".join(self.stderr.lines)) from None
        return self

    def stop(self, timeout=15):
        """SIGTERM, then checks a clean end: status 0, no sanitizer report, no process left."""
        if self.process is None:
            return
        alive = self.process.poll() is None
        self.process.terminate()
        try:
            status = self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the edge did not stop within {timeout * SLOW} s") from None
        self._collect()
        self.process = None
        assert alive, f"the edge had ended by itself (status {status})"
        assert status == 0, f"the edge ended with status {status}"
        self.check_reports()

    def check_reports(self):
        reports = [line for line in self.stderr.lines if _REPORT.search(line)]
        assert not reports, "\n".join(reports)
        mute = [line for line in self.access.lines if line.get("status") in (400, 502, 504) and "detail" not in line
                and line.get("reason") not in (None, "upstream_refused")]
        assert not mute, mute
        if not self.expect_deaths:
            deaths = [line for line in self.stderr.lines if _DEATH.search(line)]
            assert not deaths, "\n".join(deaths)

    def kill(self):
        """SIGKILL to every process together."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._collect()
        self.process = None

    def _collect(self):
        self.stderr.join(5)
        self.access.join(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # processes that outlived the supervisor

    def close(self):
        try:
            self.stop()
        finally:
            self.kill()
            shutil.rmtree(self.run_dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.print_logs()
            self.kill()
            shutil.rmtree(self.run_dir, ignore_errors=True)
        else:
            self.close()

    def print_logs(self, lines=60):
        if self.stderr is None:
            return
        print(f"--- stderr of the edge ({self.config_path})")
        print("\n".join(self.stderr.lines[-lines:]))
        print("--- access log")
        print("\n".join(json.dumps(line) for line in self.access.lines[-lines:]))

    # ---- the command line

    def command(self, *arguments, check=True, timeout=PATIENCE * SLOW):
        """`boxedge <arguments...> -c <this configuration>`; its stdout."""
        done = subprocess.run(
            [str(BINARY), *map(str, arguments), "-c", str(self.config_path)], capture_output=True, text=True,
            timeout=timeout, check=False, env=self.env, stdin=subprocess.DEVNULL,
        )
        if check:
            assert done.returncode == 0, f"boxedge {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
            return done.stdout
        return done

    def create_preview(self, port, box="box", *options):
        """The authority (name and no port) of a new preview; `port` is a number or an origin."""
        port = getattr(port, "port", port)
        self.command("preview", "create", box, port, *options)
        return self.host(port, box)

    @staticmethod
    def host(port, box="box"):
        return f"{box}-{getattr(port, 'port', port)}.{DOMAIN}"

    # ---- clients

    @property
    def ca(self):
        """The certificate of the authority that the edge created."""
        found = sorted(self.state_dir.rglob("ca*.pem")) + sorted(self.state_dir.rglob("ca*.crt"))
        found = [p for p in found if "key" not in p.name]
        assert found, f"no CA in {list(self.state_dir.rglob('*'))}"
        return found[0]

    def context(self, alpn=("http/1.1",), verify=True, **settings):
        """A fresh client context that trusts the local authority. `settings` are attributes of it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Python hides an end without close_notify unless this is cleared (SSL_OP_IGNORE_UNEXPECTED_EOF).
        context.options &= ~(1 << 7)
        if verify:
            context.load_verify_locations(self.ca)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(list(alpn))
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def socket(self, kind="plain", **kw):
        return socket.create_connection(("127.0.0.1", self.port[kind]), timeout=PATIENCE, **kw)

    def connect(self, kind="plain", host=None, alpn=("http/1.1",), context=None):
        """A Stream to a listener; over TLS `host` is the server name."""
        sock = self.socket(kind)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kind != "tls":
            return Stream(sock)
        if context is None:
            if alpn == ("http/1.1",):
                self._context = self._context or self.context(alpn)
                context = self._context
            else:
                context = self.context(alpn)
        return Stream(sock, context, host or f"box-1.{DOMAIN}")

    def get(self, host, path="/", kind="plain", fields=(), method="GET", body=b"", timeout=PATIENCE):
        """One request on a separate connection; the response."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        with self.connect(kind, host) as client:
            return client.request("\r\n".join(lines).encode() + b"\r\n\r\n" + body, method, timeout)

    def url(self, host, path="/", kind="tls"):
        scheme = "https" if kind == "tls" else "http"
        return f"{scheme}://{host}:{self.port[kind]}{path}"

    # ---- costs

    def pids(self, role=None):
        """All processes of the edge, or those with `role` ("supervisor", "controller", "worker")."""
        pids = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                stat = pathlib.Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            name, rest = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
            if int(rest[2]) != self.process.pid or rest[0] == "Z":  # the process group
                continue
            is_supervisor = int(entry) == self.process.pid
            if role is None or role == ("supervisor" if is_supervisor else re.split(r"[\W\d]", name + " ")[0]):
                pids.append(int(entry))
        return sorted(pids)

    @staticmethod
    def _kib(pid, file, field):
        found = re.search(rf"^{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0

    def rss_kib(self, role=None):
        """Resident memory of all processes, or of a role; shared pages count in each."""
        return sum(self._kib(pid, "status", "VmRSS") for pid in self.pids(role))

    def pss_kib(self, role=None):
        """The same with shared pages divided among their users. An ordinary user may not read that (the
        edge's processes are not dumpable): it gets each process's private pages."""
        try:
            return sum(self._kib(pid, "smaps_rollup", "Pss") for pid in self.pids(role))
        except PermissionError:
            return sum(self._kib(pid, "status", "RssAnon") for pid in self.pids(role))

    def cpu_seconds(self, role=None):
        """User and system time of all processes so far."""
        total = 0
        for pid in self.pids(role):
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            fields = stat[stat.rindex(")") + 2 :].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def open_fds(self, role="worker"):
        """Skips the test if this user may not look (the edge's processes are not dumpable)."""
        try:
            return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids(role))
        except PermissionError:
            pytest.skip("the edge's descriptors can be counted by root only")

    # ---- logs

    def wait_for_line(self, predicate=None, timeout=PATIENCE * SLOW, start=0, count=1, **equal):
        """The first access line for which `predicate` holds and whose keys have the values given in `equal`."""

        def matches(line):
            return all(line.get(k) == v for k, v in equal.items()) and (predicate is None or predicate(line))

        return self.access.wait_for(matches, timeout, start, count)

    def said(self, text, times=1):
        """The lines of the edge's own log with `text`, which must be so many. A message comes after the state that
        it reports is visible, so this waits for the last one."""
        self.stderr.wait_for(lambda line: text in line, count=times)
        lines = [line for line in self.stderr.lines if text in line]
        assert len(lines) == times, lines
        return lines

    def wait_until(self, predicate, timeout=PATIENCE * SLOW, what="that"):
        """For states without an event to wait for (another process's memory, descriptors): looks again each
        20 ms."""
        deadline = time.monotonic() + timeout
        while not (value := predicate()):
            assert time.monotonic() < deadline, f"{what} did not happen within {timeout} s"
            time.sleep(0.02)
        return value
