"""The data path under misbehaving peers at the worst moment: the other side must get the right bytes, and no
state may stay behind."""

import os
import socket
import threading
import time

import pytest

import tcp_table
from dataplane import OK, box, nothing_stays  # noqa: F401 (a fixture)
from harness import SANITIZED, RawOrigin
from origins import reset_on_close


# ---- heads


def test_an_oversized_head_that_came_in_parts_is_logged_as_it_was(edge):
    host = edge.host(1)
    with edge.connect() as client:
        client.send(f"DELETE /large HTTP/1.1\r\nHost: {host}\r\nX: ".encode() + b"a" * 20000)
        time.sleep(0.05)
        client.send(b"a" * 20000 + b"\r\n\r\n")
        assert client.read_message(request_method="DELETE").status == 431
    line = edge.wait_for_line(path="/large")
    assert line["method"] == "DELETE" and line["status"] == 431


def test_a_refused_request_can_be_read_while_its_rest_still_comes(edge):
    """Closing with unread bytes would reset the connection and destroy the answer."""
    with box(edge, OK) as (_, host):
        with edge.connect() as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n".encode())
            time.sleep(0.2)
            for _ in range(20):
                client.send(b"x" * 1000)
                time.sleep(0.005)
            assert client.read_message(request_method="POST").status == 400
            assert client.wait_closed() == "eof"


def test_connection_names_many_fields(edge):
    """The fields named in Connection are removed, or the request is refused, however long the list is."""
    seen = []

    def handler(conn):
        while (request := conn.read_request()) is not None:
            seen.append(request)
            conn.send(OK)

    with box(edge, handler) as (_, host):
        names = ", ".join(f"a{i}" for i in range(100))
        answer = edge.get(host, fields=[f"Connection: {names}, x-hop", "X-Hop: secret"])
        assert answer.status == 400 or seen[0].get("x-hop") is None


# ---- requests


def test_an_upload_whose_client_half_closes_while_it_is_held(edge):
    """A FIN behind a complete upload is no departure, even if the edge has read only a part of it."""
    body = os.urandom(400_000)
    go = threading.Event()

    def handler(conn):
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.read_head()
        go.wait(10)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert conn.read_exactly(len(body)) == body
        conn.send(OK)

    for kind in ("plain", "tls"):
        for size in (110_000, 150_000, 170_000, 200_000, 400_000):
            go.clear()
            part = body[:size]

            def handler(conn, part=part):
                conn.read_head()
                go.wait(10)
                assert conn.read_exactly(len(part)) == part
                conn.send(OK)

            with RawOrigin(handler) as origin:
                origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                host = edge.create_preview(origin)
                with edge.connect(kind, host) as client:
                    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
                    client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n\r\n".encode() + part)
                    client.half_close()
                    time.sleep(1.3)  # the edge looks for departures once a second
                    go.set()
                    assert client.read_answer("POST").status == 200, (kind, size)
                edge.command("preview", "delete", "box", origin.port)


def test_pipelined_requests_with_bodies(edge, preview):
    import json

    one = f"POST /echo HTTP/1.1\r\nHost: {preview}\r\nContent-Length: %d\r\n\r\n"
    sizes = [0, 1, 40_000, 90_000, 7, 120_000, 300_000, 3]
    data = b"".join((one % n).encode() + b"b" * n for n in sizes)
    with edge.connect() as client:
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        for n in sizes:
            answer = client.read_message(request_method="POST")
            assert answer.status == 200 and json.loads(answer.body)["body_bytes"] == n
        sender.join()


@pytest.mark.parametrize("together", [True, False])
def test_an_empty_line_behind_a_body_begins_no_request(make_edge, origin, together):
    """Old clients send one (RFC 9112 section 2.2): the connection is idle after it, not in the middle of a head."""
    edge = make_edge(config={"timeouts": {"head": "300ms", "keep_alive": "5s"}})
    host = edge.create_preview(origin)
    post = f"POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc".encode()
    with edge.connect() as client:
        for _ in range(2):
            client.send(post + (b"\r\n" if together else b""))
            assert client.read_message(request_method="POST").status == 200
            if not together:
                client.send(b"\r\n")
            assert client.is_silent(1)


def test_one_access_line_for_each_request(edge):
    """With the bytes sent and the way it ended, also for requests that were refused, cut, or abandoned."""

    def handler(conn):
        while (request := conn.read_request()) is not None:
            if request.target.startswith("/cut"):
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
                return
            if request.target.startswith("/hang"):
                conn.read_to_end()
                return
            conn.send(OK)

    with box(edge, handler) as (origin, host):
        start = len(edge.access.lines)
        post = "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\n{}\r\nhello"
        get = "GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n"
        for data, close in (
            (post.format("/a?preview_token=geheim&x=1", host, "Authorization: Bearer geheim\r\nCookie: a=geheim\r\n"), 0),
            (get.format("/nobody", edge.host(1), "X-Preview-Token: geheim\r\n"), 0),
            (get.format("/foreign", "elsewhere.test", ""), 0),
            (get.format("/folded", host, "A: b\r\n c\r\n"), 0),
            (get.format("/cut", host, ""), 0),
            (post.format("/chunk", host, "").replace("Content-Length: 5", "Transfer-Encoding: chunked"), 0),
            (get.format("/hang", host, ""), 1),
        ):
            with edge.connect() as client:
                client.send(data.encode())
                if close:
                    origin.wait(lambda o: any(r.target == "/hang" for r in o.requests))
                    client.reset()
                else:
                    client.read_message(request_method=data.split(" ")[0])
        # Lines of the test before this one may arrive late.
        hosts = (host, edge.host(1), "elsewhere.test")
        edge.wait_for_line(lambda line: line.get("host") in hosts, start=start, count=7)
        edge.get(host, "/last")
        edge.wait_for_line(path="/last", start=start)
        lines = [line for line in edge.access.lines[start:] if line.get("host") in hosts and line["path"] != "/last"]
    found = sorted((x["path"], x["status"], x["request_bytes"], x["response_bytes"] if x["status"] == 200 else None,
                    x["end"], x.get("reason")) for x in lines)
    assert found == [
        ("/a?preview_token=***&x=1", 200, 5, 2, "complete", None),
        ("/chunk", 400, 0, None, "complete", "bad_chunk"),
        ("/cut", 200, 0, 3, "cut", "origin_closed"),
        ("/folded", 400, 0, None, "complete", "bad_request"),
        ("/foreign", 421, 0, None, "complete", "wrong_host"),
        ("/hang", 0, 0, None, "client_gone", None),
        ("/nobody", 404, 0, None, "complete", "preview_not_found"),
    ]
    assert "geheim" not in str(lines)


# ---- every byte


@pytest.mark.parametrize("how", ["fin", "half", "reset"])
def test_clients_that_leave_at_each_byte(edge, preview, how):
    request = (f"POST /echo HTTP/1.1\r\nHost: {preview}\r\nTransfer-Encoding: chunked\r\n\r\n"
               "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n").encode()
    for n in range(len(request) + 1):
        with edge.connect() as client:
            client.send(request[:n])
            if how == "reset":
                client.reset()
            elif how == "half":
                client.half_close()
                if n == len(request):
                    assert client.read_answer("POST").status == 200
                else:
                    assert client.read_to_end() == b""
    assert edge.get(preview, "/echo").status == 200


def test_responses_that_come_in_two_pieces_at_each_byte(edge):
    answers = [
        b"HTTP/1.1 103 E\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 1\r\n\r\n",
    ]
    plan = [(a, n) for a in answers for n in range(1, len(a))]

    def handler(conn):
        while (request := conn.read_request()) is not None:
            answer, n = plan[int(request.target[1:])]
            conn.send(answer[:n])
            time.sleep(0.002)
            conn.send(answer[n:])

    with box(edge, handler) as (origin, host), edge.connect() as client:
        for i in range(len(plan)):
            answer = client.request(f"GET /{i} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert answer.status == 200 and answer.body == b"hello", plan[i]
        assert len(origin.connections) == 1


def test_boxes_that_leave_at_each_byte(edge):
    """A cut answer is never mistaken for a whole one."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"

    def handler(conn):
        n, how = map(int, conn.read_request().target[1:].split("/"))
        conn.send(answer[:n])
        if how:
            reset_on_close(conn.sock)

    with box(edge, handler) as (_, host):
        for n in range(len(answer)):
            for how in (0, 1):
                with edge.connect() as client:
                    got = client.request(f"POST /{n}/{how} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                    assert got.status == 502 or not got.complete, (n, how)
                line = edge.wait_for_line(path=f"/{n}/{how}")
                assert (line["status"], line["end"]) in ((502, "complete"), (200, "cut")), line


# ---- sent again


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_box_that_closes_at_the_worst_moment(edge, method):
    """Each connection answers a few requests and closes a moment later, sometimes by reset. No GET is lost,
    and no POST comes twice."""
    import random

    rounds = 150 if SANITIZED else 500
    seen, lock = {}, threading.Lock()

    def handler(conn):
        rng = random.Random(conn.index)
        for _ in range(rng.randint(1, 3)):
            request = conn.read_request()
            if request is None:
                return
            with lock:
                seen[request.target] = seen.get(request.target, 0) + 1
            conn.send(OK)
            pause = rng.choice([0, 0, 0.0001, 0.0005, 0.001])
            if pause:
                time.sleep(pause)
        if rng.random() < 0.3:
            reset_on_close(conn.sock)

    failures = []

    def client_thread(number, host):
        body = b"hello" if method == "POST" else b""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        with edge.connect() as client:
            for i in range(rounds):
                head = f"{method} /{number}/{i} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n"
                answer = client.request(head.encode() + body)
                if answer.status != 200:
                    failures.append((number, i, answer.status, answer.body))

    with box(edge, handler) as (_, host):
        threads = [threading.Thread(target=client_thread, args=(n, host)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if method == "GET":
        assert not failures
        assert len(seen) == 4 * rounds
    else:
        assert max(seen.values()) == 1, "a POST came twice"
        assert all(status == 502 for _, _, status, _ in failures)


# ---- connections


def test_the_kernel_watches_over_clients_that_say_nothing(edge):
    """The edge has no bound on a quiet tunnel, so keep-alive probes must find a client that vanished."""
    with edge.socket() as sock:
        def probed():
            row = tcp_table.of_ports(edge.port["plain"], sock.getsockname()[1])
            return row is not None and row.timer == tcp_table.KEEP_ALIVE

        edge.wait_until(probed, what="keep-alive")
