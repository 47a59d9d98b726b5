"""`boxedge metrics`: the metrics of the running edge on stdout, and over TCP for a scraper."""

import contextlib
import http.client
import re
import signal
import socket
import subprocess

import pytest

import harness
from harness import PATIENCE, SLOW


class Server:
    """A running `boxedge metrics --port 0`."""

    def __init__(self, *options, host="127.0.0.1", **process):
        self.host = host
        self.process = subprocess.Popen([str(harness.BINARY), "metrics", "--port", "0", *map(str, options)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **process)
        self.line = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+)/metrics\n", self.line)[1])

    def get(self, path="/metrics", method="GET"):
        """(status, type, body)"""
        with contextlib.closing(http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE * SLOW)) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read().decode()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=PATIENCE * SLOW)[1]
        assert (self.process.returncode, said) == (0, "")


@pytest.fixture
def serve():
    made = []

    def start(*options, **kw):
        made.append(Server(*options, **kw))
        return made[-1]

    yield start
    for one in made:
        one.end()


def test_printed(edge):
    assert re.search(r"^boxedge_worker_up\{worker=\"0\"\} 1$", edge.command("metrics"), re.M)


def test_served(edge, serve):
    server = serve("--socket", edge.admin_socket)
    assert server.line == f"metrics on http://127.0.0.1:{server.port}/metrics\n"
    status, kind, body = server.get()
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert re.search(r"^boxedge_worker_up\{worker=\"0\"\} 1$", body, re.M)
    assert server.get(method="HEAD") == (200, kind, "")


def test_nothing_else_is_served(edge, serve):
    server = serve("--socket", edge.admin_socket)
    for path in ("/", "/v1/previews", "/metrics/", "/metrics?x=1", "/readyz"):
        assert server.get(path)[0] == 404, path
    for method in ("POST", "DELETE", "PUT"):
        assert server.get(method=method)[0] == 405, method


def test_over_ipv6(edge, serve):
    server = serve("--socket", edge.admin_socket, "--address", "::1", host="::1")
    assert server.line == f"metrics on http://[::1]:{server.port}/metrics\n"
    assert server.get()[0] == 200


def test_an_edge_that_comes_later(make_edge, serve):
    """A sidecar may start first."""
    edge = make_edge(start=False)
    server = serve("--socket", edge.admin_socket)
    assert server.get() == (503, "text/plain; charset=utf-8", "The edge does not run or does not answer.\n")
    edge.start()
    assert server.get()[0] == 200


def test_an_edge_that_does_not_answer_and_a_client_that_leaves(tmp_path, serve):
    """The next client is served while the first one waits; the server ends within its drain."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "admin.sock"))
        silent.listen(8)
        server = serve("--socket", tmp_path / "admin.sock")
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as first:
            first.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            held = silent.accept()[0]
            assert server.get("/")[0] == 404
            first.shutdown(socket.SHUT_RDWR)
        held.settimeout(PATIENCE)
        while held.recv(4096):
            pass  # the call ends with its client
        held.close()
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as second:
            second.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            held = silent.accept()[0]
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(PATIENCE * SLOW) == 0
        held.close()


@pytest.mark.parametrize("arguments", [["--port", "x"], ["--port", "65536"], ["--port", "0", "--address", "here"],
                                       ["--address", "::"], ["--port"], ["--colour"], ["now"]])
def test_wrong_words(arguments):
    done = subprocess.run([str(harness.BINARY), "metrics", *arguments], capture_output=True, text=True, check=False,
                          timeout=PATIENCE)
    assert done.returncode == 2 and done.stdout == "" and "boxedge metrics" in done.stderr
