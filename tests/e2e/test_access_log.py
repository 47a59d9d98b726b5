"""The destinations of the access log: syslog over UDP as RFC 5424 has it, a change of the destination while the edge
serves, a destination that does not take the lines."""

import contextlib
import datetime
import itertools
import json
import os
import re
import signal
import socket
import threading

import pytest

from harness import SLOW, Edge
from wire import PATIENCE

HOST = "nobody.example"  # 421: no box is needed
# RFC 5424, section 6: HEADER SP STRUCTURED-DATA SP MSG. Each field is a name of printable ASCII, or "-".
MESSAGE = re.compile(rb"<(\d{1,3})>1 (\S+) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) (-) (.*)", re.S)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


def parse(datagram):
    """The access line of a message, which keeps to RFC 5424 and says who sent it."""
    match = MESSAGE.fullmatch(datagram)
    assert match, datagram
    priority, time, host, name, process, kind, _, text = (part.decode() for part in match.groups())
    assert priority == str(int(priority)) and int(priority) == 16 * 8 + 6
    assert TIME.fullmatch(time) and datetime.datetime.fromisoformat(time)
    assert (host, name, kind) == ("test", "boxedge", "access") and process.isdigit()
    line = json.loads(text)
    assert "\n" not in text and line.get("time", time) == time
    return line


class Syslog:
    """A server that keeps what it receives."""

    def __init__(self, family=socket.AF_INET, address="127.0.0.1"):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]
        self.lines, self.failure = [], None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self):
        while datagram := self.socket.recv(65536):
            try:
                line = parse(datagram)
            except (AssertionError, ValueError) as error:
                self.failure = error
                line = {}
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    def wait(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.lines) >= count, PATIENCE * SLOW), len(self.lines)
            assert self.failure is None, self.failure
            return list(self.lines)

    def close(self):
        """An empty datagram ends the thread."""
        with socket.socket(self.socket.family, socket.SOCK_DGRAM) as own:
            own.sendto(b"", self.socket.getsockname())
        self._thread.join()
        self.socket.close()


@contextlib.contextmanager
def syslog(*where):
    try:
        server = Syslog(*where)
    except OSError:
        pytest.skip("this machine has no such address")
    try:
        yield server
    finally:
        server.close()


def ask(edge, *paths):
    for path in paths:
        assert edge.get(HOST, path).status == 421


def metric(edge, name):
    return float(re.search(rf"^{name} (\S+)$", edge.command("metrics"), re.M)[1])


def paths_of(lines):
    return [line["path"] for line in lines]


@pytest.mark.parametrize("family, address, written", [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]"),
    (socket.AF_INET, "127.0.0.1", "localhost")])
def test_syslog(tmp_path, family, address, written):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(syslog(family, address))
        if written == "localhost" and socket.getaddrinfo("localhost", 1)[0][0] != family:
            pytest.skip("localhost is another address here")
        edge = stack.enter_context(Edge(tmp_path, config={"log": {"access": f"syslog://{written}:{server.port}"}}))
        ask(edge, "/one", "/two?token=s3cret", "/" + "x" * 3000)
        lines = server.wait(3)
        assert paths_of(lines)[:2] == ["/one", "/two?token=***"] and len(lines) == 3
        assert all((line["host"], line["status"], line["end"]) == (HOST, 421, "complete") for line in lines)
        edge.wait_until(lambda: metric(edge, "boxedge_log_lines_total") == 3, what="the count of lines")
        assert metric(edge, "boxedge_log_drops_total") == 0


def test_another_destination_while_it_serves(tmp_path):
    """From a file to syslog, and back to another file: each line is in one of them."""
    first, last = tmp_path / "first", tmp_path / "last"
    with syslog() as server, Edge(tmp_path / "edge", workers=2, config={"log": {"access": str(first)}}) as edge:
        done = []

        def change(target):
            edge.config["log"]["access"] = target
            edge.write_config()
            edge.command("reload")

        def step(name, there):
            """Requests until the destination has one of them: a reload is done before it has opened the log."""
            for i in itertools.count():
                path = f"/{name}{i}"
                ask(edge, path)
                done.append(path)
                if i >= 20 and there(f"/{name}"):
                    return

        step("a", lambda path: True)
        change(f"syslog://127.0.0.1:{server.port}")
        step("b", lambda path: any(line["path"].startswith(path) for line in server.lines))
        change(str(last))
        step("c", lambda path: last.exists() and path in last.read_text())
        edge.stop()
        written = [json.loads(line) for file in (first, last) for line in file.read_text().splitlines()]
        received = server.wait(len(done) - len(written))
    assert sorted(paths_of(written + received)) == sorted(done)


def test_usr1_looks_the_name_up_again(tmp_path):
    with syslog() as server, Edge(tmp_path, config={"log": {"access": f"syslog://127.0.0.1:{server.port}"}}) as edge:
        ask(edge, "/one")
        edge.process.send_signal(signal.SIGUSR1)
        edge.said("the access log was reopened")
        ask(edge, "/two")
        assert sorted(paths_of(server.wait(2))) == ["/one", "/two"]


def test_a_server_that_is_not_there_holds_nothing_up(tmp_path):
    """The network tells the edge that nobody receives. UDP loses such lines."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with Edge(tmp_path, config={"log": {"access": f"syslog://127.0.0.1:{port}"}}) as edge:
        ask(edge, *(f"/{i}" for i in range(30)))
        edge.command("reload")
        ask(edge, "/last")


def test_a_name_that_does_not_exist(tmp_path):
    edge = Edge(tmp_path, start=False, config={"log": {"access": "syslog://no-such-name.invalid"}})
    edge.write_config()
    done = edge.command("check", check=False)
    assert done.returncode == 1 and "the access log syslog://no-such-name.invalid cannot be opened: " in done.stderr


def test_a_pipe_that_nobody_reads_loses_lines(tmp_path):
    """They are counted, and the edge says so once. A new destination gets all later lines."""
    fifo, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with Edge(tmp_path / "edge", config={"log": {"access": str(fifo)}}) as edge:
        long = "/" + "x" * 1900

        def lost():
            ask(edge, *[long] * 50)
            return metric(edge, "boxedge_log_drops_total") > 0

        edge.wait_until(lost, what="lost lines")
        edge.said(" access_lines_lost ")
        edge.config["log"]["access"] = str(file)
        edge.write_config()
        edge.command("reload")
        edge.wait_until(lambda: not ask(edge, "/later") and file.exists() and "/later" in file.read_text(),
                        what="a line in the file")
    os.close(reader)
    assert len([line for line in edge.stderr.lines if " access_lines_lost " in line]) == 1


def test_fields(tmp_path):
    with Edge(tmp_path, config={"log": {"fields": ["status", "path", "request_id"]}}) as edge:
        ask(edge, "/one")
        line = edge.wait_for_line(path="/one")
        assert list(line) == ["request_id", "path", "status"] and line["status"] == 421
        edge.config["log"]["fields"] = ["path", "end"]
        edge.write_config()
        edge.command("reload")
        ask(edge, "/two")
        assert edge.wait_for_line(path="/two") == {"path": "/two", "end": "complete"}
        del edge.config["log"]["fields"]
        edge.write_config()
        edge.command("reload")
        ask(edge, "/three")
        assert {"time", "client", "tls", "duration_ms"} <= set(edge.wait_for_line(path="/three"))
