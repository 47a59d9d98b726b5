"""Requests that are in flight when their worker dies leave access lines."""

import os
import signal
import time

import pytest

from api_world import metrics
from harness import Edge, RawOrigin
from wire import PATIENCE


def silent(conn):
    conn.read_request(timeout=3600)
    conn.read_request(timeout=3600)  # until the edge has left


@pytest.fixture(name="app")
def fixture_app():
    with RawOrigin(silent) as origin:
        yield origin


def ask(edge, host, target, method="GET", count=1):
    """`count` requests whose answers do not come; their connections."""
    clients = []
    for _ in range(count):
        clients.append(edge.connect())
        clients[-1].send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return clients


def lost(edge, count=1):
    lines = edge.wait_for_line(end="worker_died", count=count)
    return lines if count > 1 else [lines]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_worker_that_dies_names_its_requests(tmp_path, app, number):
    with Edge(tmp_path, workers=1) as edge:
        edge.expect_deaths = True
        host = edge.create_preview(app)
        assert edge.get("other.example", "/over").status == 421  # over: it leaves nothing
        began = time.time()
        clients = ask(edge, host, "/one?preview_token=s3cret&x=1", "PUT") + ask(edge, host, "/two")
        app.wait_requests(2)
        worker, = edge.pids("worker")
        os.kill(worker, number)
        lines = sorted(lost(edge, 2), key=lambda line: line["path"])
        assert [line["path"] for line in lines] == ["/one?preview_token=***&x=1", "/two"]
        first = lines[0]
        assert (first["method"], first["host"], first["client"], first["http"]) == ("PUT", host, "127.0.0.1", "1.1")
        assert first["status"] == 0 and not first["tls"] and first["reason"] == "worker_died"
        assert f"worker 0 (process {worker}) died" in first["detail"]
        assert 0 <= first["duration_ms"] <= (time.time() - began) * 1000 + 1
        assert (first["box"], first["port"], first["kind"]) == ("box", app.port, "preview")
        text = metrics(edge)
        assert 'boxedge_errors_total{code="worker_died"} 2\n' in text
        assert 'boxedge_requests_total{kind="preview",protocol="h1",code="none"} 2\n' in text
        sent = {request.get("x-request-id") for request in app.requests}
        assert {line["request_id"] for line in lines} == sent
        edge.stderr.wait_for(lambda line: "requests_lost boxedge: worker 0 had 2 requests in flight: "
                                          "the access log names 2 of them" in line)
        for client in clients:
            client.close()
        # The next worker has nothing of them, and its own requests are recorded.
        edge.wait_until(lambda: edge.pids("worker") not in ([], [worker]), what="another worker")
        assert edge.get("other.example", "/over").status == 421
        assert len([line for line in edge.access.lines if line["end"] == "worker_died"]) == 2


def test_more_requests_than_records(tmp_path, app):
    """1,024 have a record; the others are counted."""
    with Edge(tmp_path, workers=1, config={"limits": {"connections_per_client": 0, "origin_connections_per_client": 2000,
                                                      "origin_connections_per_box": 2000}}) as edge:
        edge.expect_deaths = True
        host = edge.create_preview(app)
        clients = ask(edge, host, "/many", count=1034)
        app.wait_requests(1034)
        clients.pop().close()
        os.kill(edge.pids("worker")[0], signal.SIGKILL)
        edge.stderr.wait_for(lambda line: "in flight: the access log names 1024 of them" in line)
        assert len(lost(edge, 1024)) == 1024
        for client in clients:
            client.close()


def test_a_reader_that_stalls_holds_nothing_up(tmp_path, app):
    """The access log is a pipe without a reader."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with Edge(tmp_path / "edge", workers=1, config={"log": {"access": str(fifo)}}) as edge:
        edge.expect_deaths = True
        filler = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(filler, b"x" * 4095 + b"\n")
        host = edge.create_preview(app)
        clients = ask(edge, host, "/one")
        app.wait_requests(1)
        worker, = edge.pids("worker")
        os.kill(worker, signal.SIGKILL)
        edge.stderr.wait_for(lambda line: "worker 0 is back" in line, PATIENCE)
        edge.command("reload")
        for client in clients:
            client.close()
        os.close(filler)
        os.close(reader)


def test_a_worker_that_is_killed_at_the_end(tmp_path, app):
    """A second signal to end: the supervisor kills its workers."""
    edge = Edge(tmp_path, workers=1)
    edge.expect_deaths = True
    host = edge.create_preview(app)
    clients = ask(edge, host, "/late")
    app.wait_requests(1)
    edge.process.send_signal(signal.SIGTERM)
    edge.stderr.wait_for(lambda line: " drain_started " in line)
    edge.process.send_signal(signal.SIGTERM)
    line, = lost(edge)
    assert line["path"] == "/late"
    edge.process.wait(PATIENCE)
    for client in clients:
        client.close()
