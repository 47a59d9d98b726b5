"""`boxedge requests`: a request in each state is listed with it, and `kill` ends that one and no other."""

import contextlib
import json
import os
import signal
import threading

import pytest

from api_world import answer
from dataplane import accept_for
from harness import RawOrigin, WebSocketOrigin, merge
from processes import ends_whole, upgrade
from test_answered_waits import at_rest, said_of
from tunnel_clients import Echoes
from waits_clients import CONNECT_PROTOCOL, LONG, WINDOW, Http1, Http2, small
from waits_world import (AwaitedBody, Connect, DeletedBox, FailedWake, FirstByte, HeldBody, Line, Slots, Subrequest,
                         SubrequestInLine, Tunnel, Wake)
from h2wire import Client
from wire import WireError

# The source that a request waits for, and its state in the list.
STATES = {Wake: "wake", HeldBody: "wake", FailedWake: "wake", Subrequest: "preview", DeletedBox: "deletion",
          Line: "upstream", SubrequestInLine: "preview", AwaitedBody: "body", Slots: "slots", Connect: "connect",
          FirstByte: "first_byte", Tunnel: "first_byte"}
PATIENT = {"timeouts": {"body_idle": "60s", "heartbeat": "10m"}}


def requests(edge, *options):
    return json.loads(edge.command("requests", "--json", *options))["requests"]


def listed(edge, count, *options):
    """The rows, once there are `count`."""
    rows = []

    def there():
        rows[:] = requests(edge, *options)
        return len(rows) == count

    edge.wait_until(there, LONG, f"{count} requests of {options}")
    return rows


def kill(edge, row):
    return edge.command("requests", "kill", row["request_id"])


def line_of(edge, row):
    """The access line of an ended request."""
    found = []

    def there():
        found[:] = [line for line in edge.access.lines if line["request_id"] == row["request_id"]]
        return len(found) > 0

    edge.wait_until(there, LONG, "the access line")
    assert len(found) == 1
    return found[0]


def answered_with_503(client):
    if isinstance(client, Http2):
        client.client.h2.update_settings({WINDOW: 65535})
        client.client.flush()
        client.client.until(lambda: client.answer.ended, LONG)
        status, body = client.answer.status, client.answer.body
    elif client.wait.websocket:
        got = client.client.read_message(LONG, request_method="GET")
        status, body = got.status, got.body
    else:
        got = client.client.read_message(LONG, request_method=client.wait.method)
        status, body = got.status, got.body
    assert status == 503, status
    if b"<html" not in body:
        assert json.loads(body)["code"] == "killed", body


@pytest.mark.parametrize("wait", STATES)
def test_one_of_two_requests_in_each_wait(wait, make_edge):
    """The list has both with their state. One is ended, over each protocol, and the other goes on."""
    waiting = wait()
    try:
        edge = make_edge(config=merge(waiting.config, PATIENT))
        workers = edge.pids("worker")
        for victim, codecs in (("1.1", (Http1, Http2)), ("2", (Http2, Http1))):
            with said_of(wait, victim):
                ready = [codec.ready(edge) for codec in codecs]
                waiting.begin(edge)
                whole = wait is not AwaitedBody
                clients = [codec(edge, waiting, whole, 65535, one) for codec, one in zip(codecs, ready)]
                waiting.wait(edge, len(clients))
                rows = listed(edge, 2, "--state", STATES[wait])
                (row,) = [row for row in rows if row["http"] == victim]
                assert row["client"] == "127.0.0.1" and row["path"] == waiting.path, row
                assert row["age_ms"] >= 0 and [r["age_ms"] for r in rows] == sorted([r["age_ms"] for r in rows])[::-1]
                assert row["request_id"] in edge.command("requests")
                assert f"{row['request_id']} was answered with 503" in kill(edge, row)
                answered_with_503(clients[0])
                assert [left["http"] for left in requests(edge, "--state", STATES[wait])] != [victim]
                waiting.come()
                if wait is AwaitedBody:
                    clients[1].send_rest(waiting.rest)
                assert clients[1].status() in waiting.good
                line = line_of(edge, row)
                assert line["reason"] == "killed" and line["status"] == 503, line
                for client in clients:
                    (client.client.sock if isinstance(client, Http2) else client.client).close()
                at_rest(edge)
                assert edge.pids("worker") == workers
    finally:
        waiting.close()


class Streaming(RawOrigin):
    """An app whose responses go on until `go`."""

    def __init__(self, part=b"12345"):
        self.go, self.part = threading.Event(), part
        super().__init__(self._serve)

    def _serve(self, conn):
        with contextlib.suppress(OSError, WireError):  # the edge leaves when its request was ended
            head = conn.read_head(3600)
            if head.method == "POST":
                self.go.wait(LONG)
            conn.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
            conn.send(b"%x\r\n%s\r\n" % (len(self.part), self.part))
            self.go.wait(LONG)
            conn.send(b"0\r\n\r\n")

    def close(self):
        self.go.set()
        super().close()


def test_responses_are_reset_one_by_one(make_edge):
    with Streaming() as app:
        edge = make_edge(config=PATIENT)
        host = edge.create_preview(app)
        head = f"GET /a?token=secret&x=1 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        with edge.connect("plain") as first, edge.connect("plain") as second, Client(edge, host) as h2:
            streams = [h2.request("/b"), h2.request("/c")]
            answers = [h2.answer(stream) for stream in streams]
            for client in (first, second):
                client.send(head)
                assert client.read_head(LONG).status == 200
            h2.until(lambda: all(one.body == b"12345" for one in answers), LONG)
            rows = listed(edge, 4, "--state", "response", "--box", "box")
            assert {row["response_bytes"] for row in rows} == {5}
            assert {row["origin"] for row in rows} == {f"127.0.0.1:{app.port}"}
            assert {(row["box"], row["port"]) for row in rows} == {("box", app.port)}
            text = edge.command("requests")
            assert "secret" not in text and "x=1" in text
            # The older one of HTTP/1: its connection is reset.
            oldest = next(row for row in rows if row["path"].startswith("/a"))
            assert "was reset" in kill(edge, oldest)
            first.read_to_end(LONG)
            listed(edge, 3, "--state", "response")
            # One of HTTP/2: its stream.
            victim = next(row for row in rows if row["path"] == "/b")
            kill(edge, victim)
            h2.until(lambda: answers[0].reset is not None, LONG)
            assert len(listed(edge, 2, "--state", "response")) == 2
            assert answers[1].reset is None
            app.go.set()
            h2.until(lambda: answers[1].ended, LONG)
            assert b"12345" in second.read_until(b"0\r\n\r\n", LONG)
            for row in (oldest, victim):
                line = line_of(edge, row)
                assert line["reason"] == "killed" and line["end"] == "cut" and line["status"] == 200, line
        at_rest(edge)


def test_an_upload(make_edge):
    with Streaming() as app:
        edge = make_edge(config=PATIENT)
        host = edge.create_preview(app)
        with edge.connect("plain") as client:
            client.send(f"POST /up HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nabc".encode())
            (row,) = listed(edge, 1, "--state", "upload")
            assert row["request_bytes"] == 3 and row["method"] == "POST"
            kill(edge, row)
            assert client.read_message(LONG, request_method="POST").status == 503
        at_rest(edge)


def test_a_client_that_does_not_take_the_rest(make_edge):
    with RawOrigin(answer("x" * 1000)) as app:
        edge = make_edge(config=PATIENT)
        host = edge.create_preview(app)
        with Client(edge, host, settings={WINDOW: 10}, consume=False) as h2:
            stream = h2.request("/")
            (row,) = listed(edge, 1, "--state", "client")
            assert row["response_bytes"] == 1000
            assert "was reset" in kill(edge, row)
            got = h2.answer(stream)
            h2.until(lambda: got.reset is not None, LONG)
        at_rest(edge)


def test_a_response_whose_client_does_not_read_is_reset_at_once(make_edge):
    """The kernel has no room for bytes before the end of the response either."""
    with Streaming(bytes(16 << 20)) as app:
        edge = make_edge(config=merge(PATIENT, {"timeouts": {"write_idle": "10m"}}))
        host = edge.create_preview(app)
        with small(edge) as client:
            client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            (row,) = listed(edge, 1, "--state", "response")
            kill(edge, row)
            at_rest(edge)


def test_tunnels_close_one_by_one(make_edge):
    with WebSocketOrigin() as app:
        edge = make_edge(config=PATIENT)
        host = edge.create_preview(app)
        with Echoes(edge, host, count=1) as first, Echoes(edge, host, count=1) as second:
            first.echo()
            second.echo()
            rows = listed(edge, 2, "--state", "tunnel")
            assert rows[0]["age_ms"] >= rows[1]["age_ms"]
            assert "closed with a Close frame" in kill(edge, rows[0])
            first.closed_with(1008)
            second.echo()
            assert line_of(edge, rows[0])["reason"] == "killed"


def test_names_of_the_api(make_edge):
    waiting = Line()
    try:
        edge = make_edge(config=merge(waiting.config, PATIENT))
        waiting.begin(edge)
        (row,) = listed(edge, 1, "--state", "first_byte")
        assert row["kind"] == "api" and row["upstream"] and "box" not in row
        assert "k-test" not in edge.command("requests", "--json")
        waiting.come()
    finally:
        waiting.close()


def test_bounds_and_filters(make_edge):
    with Streaming() as app:
        edge = make_edge(config=PATIENT)
        host = edge.create_preview(app)
        with contextlib.ExitStack() as stack:
            for number in range(5):
                client = stack.enter_context(edge.connect("plain"))
                client.send(f"GET /{number} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert client.read_head(LONG).status == 200
            listed(edge, 5)
            text = edge.command("requests", "-n", 2)
            assert "3 younger requests are left out" in text and "/0" in text and "/1" in text and "/4" not in text
            assert json.loads(edge.command("requests", "--limit=2", "--json"))["left_out"] == 3
            assert requests(edge, "--box", "other") == [] and requests(edge, "--state", "wake") == []
            assert requests(edge, "--older-than", "1h") == []
            assert "None of the 5 requests" in edge.command("requests", "--older-than", "1h")
            edge.wait_until(lambda: len(requests(edge, "--older-than", "500ms")) == 5, LONG, "their age")
        for wrong in (["--older-than", "5"], ["--older-than", "x"], ["-n", "0"], ["-n", "1001"], ["--state", "A-"],
                      ["--box", ""], ["kill"], ["kill", "a b"], ["kill", "a", "b"], ["wat"]):
            assert edge.command("requests", *wrong, check=False).returncode == 2, wrong
        for unknown in ("nothing", "0" * 32):
            done = edge.command("requests", "kill", unknown, check=False)
            assert done.returncode == 1 and "No request with this id" in done.stderr


def test_a_worker_that_hangs_is_named(make_edge):
    with Streaming() as app:
        edge = make_edge(workers=2, config=PATIENT)
        host = edge.create_preview(app)
        hung = edge.pids("worker")[0]
        os.kill(hung, signal.SIGSTOP)
        try:
            done = edge.command("requests", check=False)
            assert done.returncode == 3 and f"process {hung}" in done.stderr, done
            assert json.loads(edge.command("requests", "--json", check=False).stdout)["missing"] == [
                {"pid": hung, "old": False}]
            done = edge.command("requests", "kill", "0" * 32, check=False)
            assert done.returncode == 1 and f"process {hung}" in done.stderr, done
        finally:
            os.kill(hung, signal.SIGCONT)
        edge.wait_until(lambda: edge.command("requests", check=False).returncode == 0, LONG, "its answers")
        del host


def test_old_workers_have_requests_too(make_edge):
    with WebSocketOrigin() as app:
        edge = make_edge(workers=2, config={"timeouts": {"drain": "1s"}})
        with ends_whole(edge):
            host = edge.create_preview(app)
            with Echoes(edge, host, count=1) as tunnel:
                upgrade(edge)
                (row,) = listed(edge, 1, "--state", "tunnel")
                kill(edge, row)
                tunnel.closed_with(1008)


def test_no_edge(make_edge):
    edge = make_edge()
    edge.stop()
    for words in (["requests"], ["requests", "kill", "a"]):
        done = edge.command(*words, check=False)
        assert done.returncode == 1 and "not running" in done.stderr.lower() + done.stdout.lower(), done


def test_a_tunnel_over_http2_and_one_within_a_frame(make_edge):
    """A Close frame cannot stand within a frame of the box: that tunnel is reset."""
    go = threading.Event()

    def app(conn):
        head = conn.read_head(3600)
        conn.send(accept_for(head))
        if head.target == "/within":
            conn.send(b"\x82\x7e\x01\x00" + b"part of it")  # of 256 bytes
        with contextlib.suppress(OSError, WireError):
            go.wait(LONG)

    with RawOrigin(app) as origin:
        edge = make_edge(config=PATIENT)
        host = edge.create_preview(origin)
        try:
            with Client(edge, host) as h2:
                h2.until(lambda: CONNECT_PROTOCOL in h2.h2.remote_settings, LONG)
                fields = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
                streams = [h2.request(path, "CONNECT", fields, end=False) for path in ("/whole", "/within")]
                whole, within = (h2.answer(stream) for stream in streams)
                h2.until(lambda: whole.status == 200 and within.body.endswith(b"part of it"), LONG)
                rows = {row["path"]: row for row in listed(edge, 2, "--state", "tunnel")}
                assert {row["http"] for row in rows.values()} == {"2"}
                assert "was reset" in kill(edge, rows["/within"])
                h2.until(lambda: within.reset is not None, LONG)
                assert whole.reset is None and not whole.ended
                assert "closed with a Close frame" in kill(edge, rows["/whole"])
                h2.until(lambda: len(whole.body) > 4, LONG)
                assert whole.body[0] == 0x88 and int.from_bytes(whole.body[2:4], "big") == 1008
        finally:
            go.set()


def test_an_id_that_a_proxy_gives_to_two_requests(make_edge):
    with Streaming() as app:
        edge = make_edge(config=merge(PATIENT, {"trusted_proxies": ["127.0.0.1"]}))
        host = edge.create_preview(app)
        with edge.connect("plain") as first, edge.connect("plain") as second, edge.connect("plain") as third:
            for client, name in ((first, "same-id"), (second, "same-id"), (third, "other-id")):
                client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {name}\r\nContent-Length: 0\r\n\r\n".encode())
            rows = listed(edge, 3, "--state", "first_byte")
            assert sorted(row["request_id"] for row in rows) == ["other-id", "same-id", "same-id"]
            assert "2 requests had the id same-id" in edge.command("requests", "kill", "same-id")
            for client in (first, second):
                assert client.read_message(LONG, request_method="POST").status == 503
            app.go.set()
            assert third.read_message(LONG, request_method="POST").status == 200
