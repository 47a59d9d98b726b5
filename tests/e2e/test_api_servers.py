"""The API host: the choice of a server, second attempts, and bodies."""

import itertools
import re
import threading

import pytest

from api_world import API, answer, api_config, call, error, metrics
from harness import PATIENCE, PORTS, SANITIZED, SLOW, Edge, RawOrigin


def test_a_server_that_is_gone_costs_no_request(tmp_path):
    with RawOrigin(answer("a")) as one, RawOrigin(answer("b")) as other:
        # The budget of a new edge has three retries, which chance may spend together: each request earns one
        # here.
        config = api_config([one.port, other.port, PORTS.take()], upstream={"retry_percent": 100})
        with Edge(tmp_path, workers=2, config=config) as edge:
            seen = [call(edge, method=m, body=b"x" if m == "POST" else b"") for m in ["GET", "POST"] * 20]
            assert {r.status for r in seen} == {200}
            assert {r.body for r in seen} == {b"a", b"b"}
            assert len(one.requests) + len(other.requests) == 40


def test_only_what_may_be_repeated_is(tmp_path):
    def deaf(conn):
        conn.read_request(timeout=3600)  # and closes without an answer

    with RawOrigin(deaf) as bad, RawOrigin(answer("ok")) as good:
        config = api_config([bad.port, good.port], upstream={"balance": "round_robin", "eject_failures": 0,
                                                              "retry_percent": 100})
        with Edge(tmp_path, config=config) as edge:
            # Not /v2/box: its DELETE without a body is refused.
            assert {call(edge, "/v2/thing", method=m, body=b"x" if m == "PUT" else b"").status
                    for m in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] * 4} == {200}
            before = len(bad.requests) + len(good.requests)
            posts = [call(edge, method="POST", body=b"%d" % n).status for n in range(10)]
            assert sorted(set(posts)) == [200, 502]
            sent = [r.body for r in bad.requests + good.requests if r.method == "POST"]
            assert len(sent) == len(set(sent)) == 10  # each went out once
            assert len(bad.requests) + len(good.requests) == before + 10


def test_a_server_that_does_not_answer_in_time_costs_no_request_that_may_be_repeated(tmp_path):
    def silent(conn):
        conn.read_request()
        conn.wait_closed()

    with RawOrigin(silent) as bad, RawOrigin(answer("ok")) as good:
        config = api_config([bad.port, good.port], upstream={
            "balance": "round_robin", "first_byte": f"{500 * SLOW}ms", "eject_failures": 2, "eject_time": "1h"})
        with Edge(tmp_path, config=config) as edge:
            assert [call(edge).status for _ in range(8)] == [200] * 8
            assert len(bad.requests) == 2  # then it was left out
        with Edge(tmp_path / "posts", config=config) as edge:
            assert sorted({call(edge, method="POST", body=b"x").status for _ in range(4)}) == [200, 504]


@pytest.mark.parametrize("pooled", [False, True])
def test_a_server_that_falls_silent_costs_only_what_may_not_be_repeated(tmp_path, pooled):
    release = threading.Event()
    answers = [answer("first")] if pooled else []

    def silent(conn):
        while conn.read_request(timeout=PATIENCE) is not None and answers:
            conn.send(answers.pop())
        release.wait(PATIENCE)

    with RawOrigin(silent) as bad, RawOrigin(answer("ok")) as good:
        config = api_config([bad.port, good.port], upstream={
            "balance": "round_robin", "eject_failures": 2, "eject_time": "1h", "retry_percent": 100, "first_byte": f"{500 * SLOW}ms"})
        with Edge(tmp_path, config=config) as edge:
            if pooled:
                assert {call(edge).body for _ in range(2)} == {b"first", b"ok"}
            assert {call(edge, method="POST", body=b"x").status for _ in range(2)} == {200, 504}
            assert [call(edge).body for _ in range(6)] == [b"ok"] * 6
            # Both failures count against the server: it is left out now.
            assert len(bad.requests) == 2 + pooled
            assert len([r for r in bad.requests + good.requests if r.method == "POST"]) == 2
        release.set()


def test_calls_about_one_box_go_to_one_server(tmp_path):
    with RawOrigin(answer("0")) as a, RawOrigin(answer("1")) as b, RawOrigin(answer("2")) as c:
        config = api_config([a.port, b.port, c.port], upstream={"balance": "hash"})
        with Edge(tmp_path, workers=2, config=config) as edge:
            places, calls = {}, 0
            for key in ("k1", "k2", "k3"):
                # One after the other: a server that another call counts for may be too loaded for the next.
                with edge.connect("plain", API) as client:
                    for n, rest in itertools.product(range(12), ("", "/status", "/files/list?x=1")):
                        client.send(f"GET /v2/box/box-{n}{rest} HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: {key}\r\n\r\n".encode())
                        places.setdefault(n, set()).add(client.read_message(PATIENCE, "GET").body)
                        calls += 1
                edge.wait_for_line(kind="api", count=calls)
            assert {len(servers) for servers in places.values()} == {1}
            assert len(set.union(*places.values())) > 1


def test_full_servers_are_waited_for_in_order(tmp_path):
    release = threading.Semaphore(0)

    def slow(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            release.acquire(timeout=PATIENCE)
            conn.send(answer(request.target))

    with RawOrigin(slow) as server:
        config = api_config([server.port], upstream={"server_in_flight": 1, "queue": 2, "queue_timeout": "20s"})
        with Edge(tmp_path, workers=2, config=config) as edge:
            clients = []
            for n in range(3):
                client = edge.connect("plain", API)
                client.send(f"GET /{n} HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k\r\n\r\n".encode())
                clients.append(client)
                edge.wait_until(lambda n=n: queued(edge) == max(0, n), what="a place in the line")
            server.wait_requests(1)
            full = call(edge)
            assert (full.status, error(full)) == (503, "api_busy")
            assert full.get("retry-after") == "1"
            for client in clients:
                release.release()
            assert sorted(client.read_message(PATIENCE, "GET").body for client in clients) == [b"/0", b"/1", b"/2"]
            assert max(line.get("queued_ms", 0) for line in edge.wait_for_line(kind="api", status=200, count=3)) > 0
            for client in clients:
                client.close()


def test_a_place_is_waited_for_so_long(tmp_path):
    release = threading.Event()

    def slow(conn):
        while conn.read_request(timeout=3600) is not None:
            release.wait(PATIENCE * SLOW)
            conn.send(answer("ok"))

    with RawOrigin(slow) as server:
        config = api_config([server.port], upstream={"in_flight": 1, "queue_timeout": "200ms"})
        with Edge(tmp_path, config=config) as edge, edge.connect("plain", API) as client:
            client.send(f"GET / HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k\r\n\r\n".encode())
            server.wait_requests(1)
            busy = call(edge)
            assert (busy.status, error(busy)) == (503, "api_busy")
            assert edge.wait_for_line(kind="api", status=503)["queued_ms"] > 0
            release.set()
            assert client.read_message(PATIENCE, "GET").status == 200
            assert call(edge).status == 200 and len(server.requests) == 2


def test_retries_have_a_budget(tmp_path):
    """A new edge has one for each server; if requests earn none, no more follow."""
    with RawOrigin(answer("ok")) as good:
        config = api_config([good.port, PORTS.take()], upstream={
            "balance": "round_robin", "eject_failures": 0, "retry_percent": 0})
        with Edge(tmp_path, config=config) as edge:
            seen = [call(edge) for _ in range(20)]
            assert {r.status for r in seen} == {200, 502}
            assert {error(r) for r in seen if r.status == 502} == {"server_unreachable"}
            assert re.search(r"^boxedge_api_retries_total\S* 2$", metrics(edge), re.M)


def queued(edge):
    return sum(int(value) for value in re.findall(r"^boxedge_api_queued_total(?:\{[^}]*\})? (\d+)", metrics(edge), re.M))


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_client_that_leaves_cancels_its_call(tmp_path, leave):
    def wait(conn):
        conn.read_request()
        conn.wait_closed(timeout=600)

    with RawOrigin(wait) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        client = edge.connect("plain", API)
        client.send(f"POST /v2/box/x/exec HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k\r\nContent-Length: 0\r\n\r\n".encode())
        server.wait_requests(1)
        getattr(client, leave)()
        assert server.connections[0].done.wait(PATIENCE * SLOW)
        assert edge.wait_for_line(kind="api")["end"] == "client_gone"


def test_a_large_upload_is_streamed(tmp_path):
    """More than the edge may hold in total, to a server that begins to read late."""
    size, got, begin = (1 << 30) // SLOW, [], threading.Event()

    def sink(conn):
        begin.wait(PATIENCE)
        conn.read_request(timeout=120 * SLOW, sink=lambda piece: got.append(len(piece)))
        conn.send(answer("ok"))

    with RawOrigin(sink, record=False) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        with edge.connect("plain", API) as client:
            head = f"POST /v2/box/x/files/upload HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k\r\nContent-Length: {size}\r\n\r\n"
            client.send(head.encode())
            before, piece, sent = edge.rss_kib("worker"), b"x" * (1 << 20), 0
            begin.set()
            while sent < size:
                client.sock.sendall(piece)
                sent += len(piece)
            grown = edge.rss_kib("worker") - before
            assert client.read_message(120 * SLOW, "POST").status == 200
        assert sum(got) == size
        assert SANITIZED or grown < 8 << 10, f"{grown} KiB"


def test_events_are_flushed_as_they_come(tmp_path):
    """Each is sent only after the one before arrived."""
    arrived = threading.Semaphore(0)

    def stream(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(5):
            data = f"data: {n}\n\n".encode()
            conn.send(b"%x\r\n%s\r\n" % (len(data), data))
            assert arrived.acquire(timeout=PATIENCE)
        conn.send(b"0\r\n\r\n")

    with RawOrigin(stream) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        with edge.connect("tls", API) as client:
            client.send(f"GET /v2/box/x/exec-stream HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k\r\n\r\n".encode())
            for n in range(5):
                client.read_until(f"data: {n}\n\n".encode())
                arrived.release()
            client.read_until(b"0\r\n\r\n")
