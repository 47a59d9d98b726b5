"""Request heads of 31 KB: whole whenever the request goes to its app, also on a second attempt, and freed
once no further attempt can follow, while the response, the tunnel or the app's silence continues."""

import contextlib
import json
import subprocess
import threading

import pytest

from api_world import answer, api_config, call
from h2origin import H2Origin
from h2wire import Client
from harness import PATIENCE, Edge, RawOrigin

STREAMS = 100
# After the first one, HPACK refers to each of these fields in a byte.
FILLER = [("x-filler", "f" * 3900)] * 8
FILLER_BYTES = 8 * 3900
LINES = "".join(f"X-Filler-{i}: {'f' * 3900}\r\n" for i in range(8))
OPEN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """With one worker: each worker has its own connections to apps."""
    with Edge(tmp_path_factory.mktemp("edge"), workers=1) as running:
        yield running


def held(edge):
    """Bytes that the edge counts."""
    text = subprocess.run(["curl", "-s", "--unix-socket", str(edge.admin_socket), "http://admin/metrics"],
                          capture_output=True, text=True, check=True).stdout
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("boxedge_buffered_bytes"))


def idle(edge):
    """The same once the streams of the test before are gone."""
    edge.wait_until(lambda: held(edge) < 64 * 1024, what="nothing to be held")
    return held(edge)


def comes_back(edge, before, streams=STREAMS, most=9 * 1024):
    """A stream holds as much on top of `before` as one with an ordinary head: some pieces of an arena. Each
    has one of 4 KiB, which shows that the figure, up to a second old, counts these streams."""
    edge.wait_until(lambda: 4096 <= (held(edge) - before) / streams < most, what="heads to be given back")


def keeps_open(conn):
    conn.read_request(timeout=3600)
    conn.send(OPEN)
    conn.wait_closed(3600)


def says_nothing(conn):
    conn.read_request(timeout=3600)
    conn.wait_closed(3600)


def requests(client, method="GET"):
    return [client.request(method=method, fields=FILLER) for _ in range(STREAMS)]


# ---- memory


def test_responses_that_stay_open(edge):
    before = idle(edge)
    with RawOrigin(keeps_open) as app, Client(edge, edge.create_preview(app)) as client:
        for stream in requests(client):
            client.until(lambda stream=stream: client.answer(stream).body == b"x")
        assert all(r.all("X-Filler") == ["f" * 3900] * 8 for r in app.requests)
        comes_back(edge, before)


def test_an_app_that_says_nothing(edge):
    """Over connections that were made for these requests, which are not sent again."""
    before = idle(edge)
    with RawOrigin(says_nothing) as app, Client(edge, edge.create_preview(app)) as client:
        requests(client)
        app.wait_requests(STREAMS)
        comes_back(edge, before)


def test_an_app_over_http2(edge):
    """The app may refuse a request until it has answered: the heads stay until then."""
    before = idle(edge)
    with H2Origin() as app, Client(edge, edge.create_preview(app, "box", "--protocol", "h2c")) as client:
        answered = [client.request("/open", method="POST", fields=FILLER, end=False) for _ in range(STREAMS // 2)]
        for stream in answered:
            client.until(lambda stream=stream: client.answer(stream).body == b"x")
        silent = [client.request("/hang", fields=FILLER) for _ in range(STREAMS // 2 - 1)]
        app.wait_calls(STREAMS - 1)
        edge.wait_until(lambda: held(edge) - before > len(silent) * FILLER_BYTES, what="heads to be held")
        for stream in silent:
            client.h2.reset_stream(stream)
        client.flush()
        comes_back(edge, before, len(answered))


def test_answers_of_the_edge(edge):
    """They wait for a client that reads nothing."""
    before = idle(edge)
    host = edge.host(1, "none")
    with Client(edge, host, consume=False, settings={4: 0}) as client:
        streams = requests(client)
        for stream in streams:
            client.until(lambda stream=stream: client.answer(stream).status is not None)
        assert {client.answer(stream).status for stream in streams} == {404}
        comes_back(edge, before, most=18 * 1024)  # the answers are held


def test_http1_clients(edge):
    before = idle(edge)
    with RawOrigin(keeps_open) as app, contextlib.ExitStack() as stack:
        host = edge.create_preview(app)
        for _ in range(20):
            client = stack.enter_context(edge.connect("plain"))
            client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n{LINES}\r\n".encode())
            client.read_head()
        comes_back(edge, before, 20)


# ---- working parts


def test_a_tunnel(edge):
    accept = threading.Event()

    def upgrades(conn):
        request = conn.read_request(timeout=3600)
        assert len(request.fields) > 8
        accept.wait(PATIENCE)
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        while data := conn.sock.recv(65536):
            conn.send(data)

    with RawOrigin(upgrades) as app, edge.connect("plain") as client:
        host = edge.create_preview(app)
        client.send(f"GET /socket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    f"User-Agent: large/1\r\n{LINES}\r\n".encode())
        accept.set()
        assert client.read_head().status == 101
        client.send(b"\x81\x82\0\0\0\0hi")
        assert client.read_exactly(8) == b"\x81\x82\0\0\0\0hi"
    line = edge.wait_for_line(port=app.port, tunnel=True)
    assert line["path"] == "/socket" and line["user_agent"] == "large/1" and line["host"].startswith(host)


def test_a_response_is_changed_as_any_other(edge):
    """Location, Set-Cookie, and an access line that is cut at its usual place."""
    host = None

    def answers(conn):
        conn.read_request(timeout=3600)
        conn.send(f"HTTP/1.1 201 Created\r\nLocation: http://{host}/made\r\nSet-Cookie: a=1; Domain=box.localhost\r\n"
                  "Content-Length: 2\r\nConnection: close\r\n\r\nok".encode())

    agent = "agent/" + "a" * 500
    with RawOrigin(answers) as app:
        host = edge.create_preview(app)
        with Client(edge, host) as client:
            got = client.get("/path?token=secret&x=" + "y" * 4000, method="PUT",
                             fields=[*FILLER[:6], ("user-agent", agent), ("priority", "u=1")])
        assert got.status == 201 and got.fields["location"] == f"https://{host}:{edge.port['tls']}/made"
        assert got.fields["set-cookie"] == "a=1"
    line = edge.wait_for_line(port=app.port, status=201)
    assert line["method"] == "PUT" and line["path"].startswith("/path?token=***&x=yyy")
    assert line["path"].endswith("y…") and len(line["path"]) < 2100
    assert line["user_agent"].startswith(agent[:250]) and line["user_agent"].endswith("a…")


@pytest.mark.parametrize("accept,kind", [("text/html", "text/html; charset=utf-8"), ("*/*", "application/json")])
def test_a_failure_after_the_head_was_given_back(edge, accept, kind):
    """The answer has the form that the client reads, and scripts of other origins may read it."""
    with RawOrigin(lambda conn: conn.read_request(timeout=3600)) as app:
        got = edge.get(edge.create_preview(app), fields=[f"Accept: {accept}", "Origin: https://page.test",
                                                         *LINES.strip().split("\r\n")])
    assert got.status == 502 and got.get("Content-Type") == kind
    assert got.get("Access-Control-Allow-Origin") == "https://page.test"
    assert (b"The app closed the connection" if kind.startswith("text") else b"origin_closed") in got.body


def test_trailers_behind_an_early_answer(edge):
    """Trailers that Connection names end here, although the response has begun before they come."""
    with H2Origin() as app, edge.connect("plain") as client:
        host = edge.create_preview(app, "box", "--protocol", "h2c")
        client.send(f"POST /open HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
                    f"Connection: TE, X-Gone\r\n{LINES}\r\n1\r\na\r\n".encode())
        assert client.read_head().status == 200
        client.send(b"0\r\nX-Gone: 1\r\nX-Sum: 5\r\n\r\n")
        app.wait(lambda o: o.calls[0].trailers)
        assert app.calls[0].trailers == [("x-sum", "5")]
        assert [v for n, v in app.calls[0].fields if n.startswith("x-filler")] == ["f" * 3900] * 8


# ---- a second attempt


def test_a_pooled_connection_that_ends(edge):
    def once(conn):
        if conn.read_request(timeout=3600) is None:
            return
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        if conn.index == 0:
            conn.read_request(timeout=3600)  # and closes without an answer

    with RawOrigin(once) as app:
        host = edge.create_preview(app)
        assert edge.get(host).body == b"ok"
        with edge.connect("plain") as client:
            client.send(f"GET /again HTTP/1.1\r\nHost: {host}\r\n{LINES}\r\n".encode())
            assert client.read_message().body == b"ok"
        assert edge.wait_for_line(port=app.port, path="/again")["resent"]
        first, second = app.requests[1:]
        assert sorted(first.fields) == sorted(second.fields) and len(first.fields) > 8


@pytest.mark.parametrize("path", ["/refuse", "/goaway"])
def test_a_stream_that_was_not_looked_at(edge, path):
    with H2Origin() as app, Client(edge, edge.create_preview(app, "box", "--protocol", "h2c")) as client:
        got = json.loads(bytes(client.get(path, method="POST", fields=FILLER).body))
        assert [v for n, v in got["fields"] if n == "x-filler"] == ["f" * 3900] * 8
        assert len(app.calls) == 2 and app.calls[0].fields == app.calls[1].fields


def test_another_server_of_the_api(tmp_path):
    def deaf(conn):
        conn.read_request(timeout=3600)  # and closes without an answer

    with RawOrigin(deaf) as bad, RawOrigin(answer("ok")) as good:
        config = api_config([bad.port, good.port], upstream={"balance": "round_robin", "eject_failures": 0,
                                                             "retry_percent": 100})
        with Edge(tmp_path, config=config) as edge:
            seen = [call(edge, "/v2/thing", fields=LINES.strip().split("\r\n")) for _ in range(4)]
            assert {r.status for r in seen} == {200}
            assert bad.requests
            for request in bad.requests + good.requests:
                assert [request.get(f"X-Filler-{i}") for i in range(8)] == ["f" * 3900] * 8
