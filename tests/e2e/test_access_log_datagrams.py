"""Access lines as datagrams, to a syslog server and to a journal: through an upgrade, of requests whose worker dies, and
with a journal that stands still. The journal is a socket of the test in a mount namespace (test_systemd.py has a real
one)."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading

import pytest

from harness import SLOW, Edge, RawOrigin
from processes import upgrade
from test_access_log import ask, metric, paths_of, syslog
from test_slots import silent
from wire import PATIENCE

LONG = PATIENCE * SLOW
NAMESPACE = ["unshare", "-m", "sh", "-c",
             'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind "$0" /run/systemd/journal && exec "$@"']


def entry(datagram):
    """The fields of an entry in the journal's native protocol."""
    fields = {}
    while datagram:
        head, datagram = datagram.split(b"\n", 1)
        name, equals, value = head.partition(b"=")
        if not equals:
            (size,) = struct.unpack_from("<Q", datagram)
            value, datagram = datagram[8:8 + size], datagram[9 + size:]
        fields[name.decode()] = value.decode()
    return fields


class Journal:
    """Keeps the access lines that it receives, once it reads."""

    def __init__(self, folder):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"{folder}/socket")
        self.lines, self._changed = [], threading.Condition()
        self._thread = threading.Thread(target=self._receive, daemon=True)

    def read(self):
        self._thread.start()
        return self

    def _receive(self):
        with contextlib.suppress(OSError):  # closed
            while datagram := self.socket.recv(1 << 20):
                fields = entry(datagram)
                if fields.get("SYSLOG_IDENTIFIER") == "boxedge-access":
                    with self._changed:
                        self.lines.append(json.loads(fields["MESSAGE"]))
                        self._changed.notify_all()

    def wait(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.lines) >= count, LONG), self.lines
            return list(self.lines)


@contextlib.contextmanager
def journal():
    """A journal that does not read yet, and the program that shows it to an edge."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        pytest.skip("needs root and mount namespaces")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        found = Journal(folder)
        with contextlib.closing(found.socket):
            yield found, [*NAMESPACE, folder]


@pytest.fixture(params=["syslog", "journald"])
def logged(request, tmp_path):
    """The receiver, and an edge that logs there."""
    with contextlib.ExitStack() as stack:
        edge = Edge(tmp_path, start=False)
        if request.param == "syslog":
            receiver = stack.enter_context(syslog())
            edge.config["log"]["access"] = f"syslog://127.0.0.1:{receiver.port}"
        else:
            receiver, edge.launcher = stack.enter_context(journal())
            edge.config["log"]["access"] = "journald"
            receiver.read()
        yield receiver, stack.enter_context(edge.start())


def test_an_upgrade(logged):
    """The new edge and the old one send to the same destination."""
    receiver, edge = logged
    with RawOrigin(silent) as app:
        host = edge.create_preview(app)
        with edge.connect("plain") as held:
            held.send(f"GET /held HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            app.wait_requests(1)
            ask(edge, "/before")
            receiver.wait(1)
            upgrade(edge)
            ask(edge, "/after")
            receiver.wait(2)
        assert sorted(paths_of(receiver.wait(3))) == ["/after", "/before", "/held"]


def test_a_worker_that_dies(logged):
    receiver, edge = logged
    edge.expect_deaths = True
    with RawOrigin(silent) as app:
        host = edge.create_preview(app)
        with edge.connect("plain") as held:
            held.send(f"GET /held HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            app.wait_requests(1)
            os.kill(edge.pids("worker")[0], signal.SIGKILL)
            (line,) = receiver.wait(1)
    assert (line["path"], line["end"], line["box"]) == ("/held", "worker_died", "box")


def test_a_journal_that_stands_still(tmp_path):
    """Requests are served and the edge ends; lost lines are counted, and said once. Later lines arrive."""
    with journal() as (receiver, launcher):
        edge = Edge(tmp_path, start=False, config={"log": {"access": "journald"}})
        edge.launcher = launcher
        with edge.start():
            long = "/" + "x" * 1900

            def lost():
                ask(edge, *[long] * 50)
                return metric(edge, "boxedge_log_drops_total") > 0

            edge.wait_until(lost, LONG, "lost lines")
            edge.said(" access_lines_lost ")
            receiver.read()

            def arrives():
                ask(edge, "/later")
                return "/later" in paths_of(receiver.lines)

            edge.wait_until(arrives, LONG, "a line")
        assert len([line for line in edge.stderr.lines if " access_lines_lost " in line]) == 1


def test_an_end_beside_a_journal_that_stands_still(tmp_path):
    with journal() as (_, launcher):
        edge = Edge(tmp_path, start=False, config={"log": {"access": "journald"}})
        edge.launcher = launcher
        with edge.start():
            ask(edge, *[f"/{i}" for i in range(100)])
