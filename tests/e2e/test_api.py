"""The API host: whose requests go through, how many, to which server, and what the edge answers itself."""

import base64
import hashlib
import itertools
import json
import os
import re
import signal
import socket
import ssl
import threading
import time

import pytest

from boxapi.service import BoxApi
from harness import PATIENCE, PORTS, SANITIZED, SLOW, Edge, RawOrigin

API = "api.boxes.localhost"


def answer(text, status="200 OK", fields=()):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(text)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + text.encode()


def api_config(servers, keys=None, **more):
    """`keys`: what is shown -> (name, plan)."""
    upstream = {"name": "api", "servers": [f"127.0.0.1:{port}" for port in servers], **more.pop("upstream", {})}
    section = {"hosts": [API], **more.pop("api", {})}
    if keys:
        section["keys"] = [{"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "plan": plan}
                           for key, (name, plan) in keys.items()]
    return {"upstreams": [upstream], "api": section, **more}


def call(edge, path="/v2/box", key="k-test", method="GET", body=b"", fields=(), **options):
    shown = [f"X-Box-Api-Key: {key}"] if key else []
    return edge.get(API, path, fields=[*shown, *fields], method=method, body=body, **options)


def error(response):
    return json.loads(response.body)["code"]


# ---- who


def test_a_request_reaches_the_upstream_as_it_came(tmp_path):
    with RawOrigin(answer("here")) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        response = call(edge, "/v2/box/a-b/exec?x=%2f&y", method="POST", body=b"abc", kind="tls")
        assert (response.status, response.body) == (200, b"here")
        request = server.wait_requests(1)[0]
        assert (request.method, request.target, request.body) == ("POST", "/v2/box/a-b/exec?x=%2f&y", b"abc")
        assert request.get("host") == API
        assert request.get("x-box-api-key") == "k-test"
        assert request.get("x-forwarded-proto") == "https"
        line = edge.wait_for_line(kind="api")
        assert (line["upstream"], line["attempts"], line["status"]) == ("api", 1, 200)
        assert "k-test" not in json.dumps(line)


def test_a_key_is_asked_for_before_the_body(tmp_path):
    with RawOrigin() as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        for fields in ([], ["Authorization: Basic YTpi"], ["Authorization: Bearer "], ["X-Box-Api-Key: a b"],
                       ["X-Box-Api-Key: a", "X-Box-Api-Key: b"], ["X-Box-Api-Key: a", "X_Box_Api_Key: b"],
                       ["x_box-api_key: a"], ["X-Box-Api-Key: a", "Authorization: Bearer b"]):
            with edge.connect("plain", API) as client:
                head = ["POST /v2/box HTTP/1.1", f"Host: {API}", "Content-Length: 1000000", "Expect: 100-continue", *fields]
                client.send("\r\n".join(head).encode() + b"\r\n\r\n")
                response = client.read_message(PATIENCE, "POST")
                assert response.status == 401, fields
                assert "X-Box-Api-Key" in json.loads(response.body)["error"] or error(response) == "key_malformed"
                assert response.get("www-authenticate")
        assert not server.requests
        assert call(edge, key=None, fields=["Authorization: Bearer k"]).status == 200
        assert call(edge, key="k", fields=["Authorization: bearer k"]).status == 200
        assert call(edge, key="k", fields=["Authorization: Basic YTpi"]).status == 200


def test_other_hosts_and_listeners(tmp_path):
    with RawOrigin() as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        assert edge.get("other.boxes.localhost", fields=["X-Box-Api-Key: k"]).status == 421
        assert edge.get(f"{API.upper()}.:{edge.port['plain']}", fields=["X-Box-Api-Key: k"]).status == 200
        refused = edge.get(API, kind="redirect", fields=["X-Box-Api-Key: k"])
        assert (refused.status, error(refused)) == (403, "tls_required")
        looped = call(edge, fields=["CDN-Loop: boxedge-test"])
        assert (looped.status, error(looped)) == (508, "loop")
        edge.command("block", "cidr", "127.0.0.1/32")
        blocked = call(edge)
        assert (blocked.status, error(blocked)) == (403, "blocked")


def test_the_local_authority_covers_a_host_that_a_reload_brings(tmp_path):
    late = "late.boxes.localhost"

    def status(host):
        with edge.connect("tls", host, context=edge.context()) as client:
            client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Box-Api-Key: k\r\n\r\n".encode())
            return client.read_message(PATIENCE, "GET").status

    with RawOrigin() as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        assert status(API) == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            status(late)
        edge.config["api"]["hosts"] = [API, late]
        edge.write_config()
        edge.command("reload")
        assert [status(API), status(late)] == [200, 200]


def test_a_client_that_is_blocked_loses_its_live_session(tmp_path):
    """A WebSocket to the API ends when its client is blocked, as one to a box does."""
    def session(conn):
        request = conn.read_request()
        accept = base64.b64encode(hashlib.sha1(
            (request.get("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        conn.wait_closed(timeout=600)

    with RawOrigin(session) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        with edge.connect("plain", API) as client:
            client.send((f"GET /v2/box/x/live HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k\r\nConnection: Upgrade\r\n"
                         "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
            assert client.read_head().status == 101
            edge.command("block", "cidr", "127.0.0.1")
            assert client.read_exactly(1) == b"\x88"  # a Close, between two frames
        line = edge.wait_for_line(kind="api", tunnel=True)
        assert line["reason"] == "blocked"
        assert server.connections[0].done.wait(PATIENCE)


# ---- how much


def test_a_plan_limits_a_key(tmp_path):
    plans = [{"name": "two", "rate": "1/h", "burst": 2}, {"name": "many", "rate": "1000/s", "burst": 1000}]
    config = api_config([0], keys={"k-two": ("ci", "two"), "k-many": ("bot", "many")}, plans=plans)
    with RawOrigin(answer("ok", fields=["X-RateLimit-Limit: 7", "RateLimit: theirs"])) as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, workers=2, config=config) as edge:
            first = call(edge, key="k-two")
            assert first.status == 200
            assert first.all("ratelimit-policy") == ['"two";q=2;w=7200']
            assert first.all("ratelimit") == ['"two";r=1;t=3600']
            assert (first.all("x-ratelimit-limit"), first.all("x-ratelimit-remaining")) == (["2"], ["1"])
            assert call(edge, key="k-two").status == 200
            refused = call(edge, key="k-two", method="POST", body=b"x" * 10)
            assert (refused.status, error(refused)) == (429, "rate_limited")
            assert 3590 <= int(refused.get("retry-after")) <= 3600
            assert refused.get("ratelimit").startswith('"two";r=0;t=')
            assert all(call(edge, key="k-many").status == 200 for _ in range(5))
            assert len(server.requests) == 7
            line = edge.wait_for_line(status=429)
            assert (line["key"], line["plan"], line["limited"]) == ("ci", "two", "rate")
            assert re.search(r"^boxedge_limited_total\S* 1$", metrics(edge), re.M)


def test_retry_after_is_when_the_next_one_passes(tmp_path):
    config = api_config([0], keys={"k": ("ci", "slow")}, plans=[{"name": "slow", "rate": "1/s", "burst": 1}])
    with RawOrigin() as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, config=config) as edge:
            assert call(edge, key="k").status == 200
            refused = call(edge, key="k")
            assert refused.status == 429
            threading.Event().wait(int(refused.get("retry-after")))
            assert call(edge, key="k").status == 200


def test_costs_and_the_address_of_clients_without_a_key(tmp_path):
    plans = [{"name": "ten", "rate": "1/h", "burst": 10}]
    config = api_config([0], keys={"k": ("ci", "ten")}, plans=plans, api={
        "client_plan": "ten", "costs": [{"method": "POST", "path": "/v2/box", "cost": 8},
                                        {"path": "/v2/box/{id}/status", "cost": 0}]})
    with RawOrigin() as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, config=config) as edge:
            assert call(edge, key="k", method="POST", body=b"{}").get("x-ratelimit-remaining") == "2"
            assert call(edge, key="k", method="POST", body=b"{}").status == 429
            assert call(edge, "/v2/box/x/status", key="k").get("x-ratelimit-remaining") == "2"
            statuses = [call(edge, key=None).status for _ in range(11)]
            assert statuses == [401] * 10 + [429]
            # A flood of keys that nobody knows draws on the same bucket.
            assert call(edge, key="unknown").status == 429


def test_an_unknown_key_gets_a_plan_of_its_own_when_the_upstream_has_taken_it(tmp_path):
    def decide(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            conn.send(answer("no", "401 Unauthorized") if request.get("x-box-api-key") == "bad" else answer("ok"))

    plans = [{"name": "free", "rate": "1/h", "burst": 50}, {"name": "anonymous", "rate": "1/h", "burst": 3}]
    config = api_config([0], plans=plans, api={"default_plan": "free", "client_plan": "anonymous"})
    with RawOrigin(decide) as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, workers=2, config=config) as edge:
            assert call(edge, key="good").get("ratelimit").startswith('"anonymous";r=2')
            assert call(edge, key="good").get("ratelimit").startswith('"free";r=49')
            assert call(edge, key="bad").body == b"no"
            asked = len(server.requests)
            refused = call(edge, key="bad")
            assert (refused.status, error(refused)) == (401, "key_refused")
            assert len(server.requests) == asked
            assert call(edge, key="bad").status == 429  # its address has nothing left
            assert call(edge, key="good").status == 200


def test_only_a_success_makes_a_key_known(tmp_path):
    """What an API answers before it looks at the key, such as 404 and preflights, gives no key a bucket of its own."""
    answers = {"/gone": answer("no", "404 Not Found"), "/slash": answer("", "307 Temporary Redirect"),
               "/busy": answer("", "503 Busy"), "/good": answer("ok")}

    def decide(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            conn.send(answers[request.target])

    plans = [{"name": "free", "rate": "1/h", "burst": 50}, {"name": "anonymous", "rate": "1/h", "burst": 20}]
    config = api_config([0], plans=plans, api={"default_plan": "free", "client_plan": "anonymous"})
    with RawOrigin(decide) as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, config=config) as edge:
            for path, method in [("/gone", "GET"), ("/slash", "GET"), ("/busy", "POST"), ("/good", "OPTIONS")] * 2:
                assert call(edge, path, method=method).get("ratelimit-policy").startswith('"anonymous"'), (path, method)
            assert call(edge, "/good").get("ratelimit-policy").startswith('"anonymous"')
            assert call(edge, "/gone").get("ratelimit-policy").startswith('"free"')


def test_a_plan_without_a_rate_leaves_the_upstreams_fields(tmp_path):
    config = api_config([0], keys={"k": ("ci", "free")}, plans=[{"name": "free", "rate": "0", "in_flight": 9}])
    with RawOrigin(answer("ok", fields=["X-RateLimit-Limit: 7", "RateLimit: theirs"])) as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, config=config) as edge:
            response = call(edge, key="k")
            assert (response.all("x-ratelimit-limit"), response.all("ratelimit")) == (["7"], ["theirs"])


def test_shadow_limits_only_log(tmp_path):
    config = api_config([0], keys={"k": ("ci", "one")}, plans=[{"name": "one", "rate": "1/h", "burst": 1}],
                        api={"limits": "shadow"})
    with RawOrigin() as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, config=config) as edge:
            responses = [call(edge, key="k") for _ in range(3)]
            assert [r.status for r in responses] == [200] * 3
            assert not any(r.get("ratelimit") for r in responses)
            assert edge.wait_for_line(limited="rate")["status"] == 200


def test_requests_in_flight_are_right_after_a_worker_was_killed(tmp_path):
    release = threading.Event()

    def slow(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            if request.target == "/slow":
                release.wait(PATIENCE)
            conn.send(answer("ok"))

    config = api_config([0], keys={"k": ("ci", "two")}, plans=[{"name": "two", "rate": "0", "in_flight": 2}])
    with RawOrigin(slow) as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, config=config) as edge:
            edge.expect_deaths = True
            held = [edge.connect("plain", API) for _ in range(2)]
            for client in held:
                client.send(f"GET /slow HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k\r\n\r\n".encode())
            server.wait_requests(2)
            refused = call(edge, key="k")
            assert (refused.status, error(refused)) == (429, "rate_limited")
            os.kill(edge.pids("worker")[0], signal.SIGKILL)
            edge.stderr.wait_for(lambda line: re.search(r"worker 0.*(killed|died)", line))
            edge.wait_until(lambda: call(edge, key="k").status == 200, what="a worker that serves")
            release.set()


def test_revocation_and_reload_are_immediate(tmp_path):
    plans = [{"name": "free", "rate": "100/s", "burst": 100}]
    config = api_config([0], keys={"k": ("ci", "free")}, plans=plans)
    with RawOrigin() as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, workers=4, config=config) as edge:
            assert [call(edge, key="k").get("ratelimit")[:6] for _ in range(8)] == ['"free"'] * 8
            edge.config["api"]["keys"] = []
            edge.write_config()
            edge.command("reload")
            assert [call(edge, key="k").get("ratelimit") for _ in range(8)] == [None] * 8
            made = edge.command("key", "create", "made", "--plan", "free").strip()
            assert [call(edge, key=made).get("ratelimit")[:6] for _ in range(8)] == ['"free"'] * 8
            edge.command("key", "revoke", "made")
            assert [error(call(edge, key=made)) for _ in range(8)] == ["key_revoked"] * 8
            assert made not in "".join(map(str, edge.access.lines + edge.stderr.lines))


# ---- where


def test_a_server_that_is_gone_costs_no_request(tmp_path):
    with RawOrigin(answer("a")) as one, RawOrigin(answer("b")) as other:
        # The budget of a new edge has three retries, which chance may ask for at once: each request earns one here.
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
            assert {call(edge, method=m, body=b"x" if m == "PUT" else b"").status
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
            # Both times it was a failure of the server's: it is left out now.
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


def queued(edge):
    return sum(int(value) for value in re.findall(r"^boxedge_api_queued_total(?:\{[^}]*\})? (\d+)", metrics(edge), re.M))


def metrics(edge):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(edge.admin_socket))
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return data.decode()


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
    """More than the edge may hold at all, to a server that begins to read late."""
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
    """Each is sent only when the one before has arrived."""
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


# ---- previews


@pytest.fixture(name="boxes")
def _boxes(tmp_path):
    with BoxApi(tmp_path / "boxes", ["k-one", "k-two"]) as service:
        with Edge(tmp_path / "edge", workers=2, config=api_config([service.port])) as edge:
            yield service, edge


def make_box(edge, key="k-one", **wishes):
    made = call(edge, key=key, method="POST", body=json.dumps(wishes).encode(), fields=["Content-Type: application/json"])
    assert made.status == 201, made.body
    return json.loads(made.body)["id"]


def preview(edge, box, wish, key="k-one", method="POST", below=""):
    body = json.dumps(wish).encode() if isinstance(wish, dict) else wish
    return call(edge, f"/v2/box/{box}/preview{below}", key=key, method=method, body=body or b"",
                fields=["Content-Type: application/json"])


def test_previews_are_created_listed_and_deleted(boxes):
    _, edge = boxes
    box = make_box(edge)
    made = preview(edge, box, {"port": 3000, "bearer_token": True, "basic_auth": True})
    assert made.status == 200, made.body
    data = json.loads(made.body)
    assert data["url"] == f"https://{box}-3000.preview.box.localhost:{edge.port['tls']}"
    assert (data["port"], data["username"]) == (3000, "user")
    assert len(data["token"]) >= 32 and len(data["password"]) >= 32
    assert json.loads(preview(edge, box, {"port": 4000}).body).keys() == {"url", "port"}
    listed = json.loads(preview(edge, box, None, method="GET").body)["previews"]
    assert [(p["id"], p["bearer_token"], p["basic_auth"]) for p in listed] == [
        (f"{box}-3000", True, True), (f"{box}-4000", False, False)]
    assert data["token"] not in json.dumps(listed) and abs(listed[0]["created_at"] - time.time()) < 60
    again = json.loads(preview(edge, box, {"port": 3000, "bearer_token": True}).body)
    assert again["token"] != data["token"] and "password" not in again
    assert preview(edge, box, None, method="DELETE", below="/3000").status == 200
    gone = preview(edge, box, None, method="DELETE", below="/3000")
    assert (gone.status, error(gone)) == (404, "preview_not_found")
    assert data["token"] not in "".join(map(str, edge.access.lines + edge.stderr.lines))


def test_previews_belong_to_whom_the_upstream_lets_see_the_box(boxes):
    _, edge = boxes
    box = make_box(edge)
    assert preview(edge, box, {"port": 3000}).status == 200
    for method, below in (("POST", ""), ("GET", ""), ("DELETE", "/3000")):
        other = preview(edge, box, {"port": 3000} if method == "POST" else None, key="k-two", method=method, below=below)
        assert other.status == 404 and "error" in json.loads(other.body)
        wrong = preview(edge, box, {"port": 3000} if method == "POST" else None, key="wrong", method=method, below=below)
        assert wrong.status == 401
    assert len(json.loads(preview(edge, box, None, method="GET").body)["previews"]) == 1


def test_what_is_wrong_with_a_preview_is_said(boxes):
    _, edge = boxes
    box = make_box(edge)
    for body, code in ((b"", "bad_body"), (b"{", "bad_body"), (b"[]", "bad_body"), ({"port": 0}, "bad_port"),
                       ({"port": 65536}, "bad_port"), ({"port": "3000"}, "bad_port"), ({}, "bad_port"),
                       ({"port": 80, "bearer_token": 1}, "bad_access"), ({"port": 80, "basic_auth": "x"}, "bad_access")):
        refused = preview(edge, box, body)
        assert (refused.status, error(refused)) == (400, code), body
    for path in (f"/v2/box/{box}/preview/", f"/v2//box/{box}/preview", f"/v2/box/{box}/%70review", f"/v2/box/{box}%2Fpreview",
                 f"/v2/box/{box}/./preview", f"/V2/box/{box}/preview"):
        refused = call(edge, path, key="k-one")
        assert (refused.status, error(refused)) == (400, "misspelled_path"), path
    for method, below, allowed in (("PUT", "", "GET, HEAD, POST"), ("DELETE", "", "GET, HEAD, POST"),
                                   ("GET", "/3000", "DELETE"), ("POST", "/3000", "DELETE")):
        refused = preview(edge, box, None, method=method, below=below)
        assert (refused.status, refused.get("allow")) == (405, allowed)
    refused = preview(edge, box, None, method="DELETE", below="/0")
    assert (refused.status, error(refused)) == (400, "bad_port")
    refused = preview(edge, "Upper", {"port": 1})
    assert (refused.status, error(refused)) == (400, "bad_box")
    refused = preview(edge, box, b"x" * 70000)
    assert refused.status == 413


def test_long_and_ephemeral_boxes(tmp_path):
    name = "x" * 57

    def api(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            ephemeral = "ephemeral" in request.target
            conn.send(answer(json.dumps({"id": "x", "status": "idle", "ephemeral": ephemeral})))

    with RawOrigin(api) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        assert preview(edge, name, {"port": 80}, key="k").status == 200
        refused = preview(edge, name, {"port": 65535}, key="k")
        assert preview(edge, name, {"port": 10000}, key="k").status == 200
        assert refused.status == 200  # 57, a dash and five digits are 63
        refused = preview(edge, "ephemeral-1", {"port": 80}, key="k")
        assert (refused.status, error(refused)) == (400, "box_ephemeral")
        for answer_body in ("not json", "[1]"):
            server.handler = RawOrigin._answering(answer(answer_body))
        assert preview(edge, "ephemeral-1", None, key="k", method="GET").status == 200


def test_a_paused_box_is_resumed_and_a_deleted_one_takes_its_previews_with_it(boxes):
    service, edge = boxes
    box = make_box(edge)
    assert call(edge, f"/v2/box/{box}/pause", key="k-one", method="POST").status < 300
    assert service.boxes.find(box).status == "paused"
    assert preview(edge, box, {"port": 3000}).status == 200
    assert service.boxes.find(box).status != "paused"
    assert preview(edge, box, {"port": 3001}).status == 200
    assert len(json.loads(edge.command("preview", "list", "--json"))["previews"]) == 2
    assert call(edge, f"/v2/box/{box}", key="k-one", method="DELETE").status < 300
    edge.wait_until(lambda: not json.loads(edge.command("preview", "list", "--json"))["previews"], what="no previews")
    assert preview(edge, box, None, method="GET").status == 404


def test_the_upstreams_word_about_a_box_may_be_of_no_use(tmp_path):
    """Too long, cut, no JSON, refused when it is resumed: nothing is made of it."""
    box = json.dumps({"id": "x", "status": "paused"})

    def api(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            name = request.target.split("/")[3]
            if name == "cut":
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                return
            if request.method == "POST":
                conn.send(answer('{"error": "Your plan has no more boxes."}', "409 Conflict",
                                 ["Content-Type: application/json"]))
            else:
                conn.send(answer({"long": "x" * 70000, "text": "hello", "list": "[1]"}.get(name, box)))

    with RawOrigin(api) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        for name in ("long", "cut", "text", "list"):
            refused = preview(edge, name, {"port": 80}, key="k")
            assert (refused.status, error(refused)) == (502, "bad_response"), name
        refused = preview(edge, "asleep", {"port": 80}, key="k")
        assert (refused.status, json.loads(refused.body)) == (409, {"error": "Your plan has no more boxes."})
        assert json.loads(edge.command("preview", "list", "--json"))["previews"] == []
        edge.config["api"]["previews"] = False
        edge.write_config()
        edge.command("reload")
        passed = preview(edge, "x", {"port": 80}, key="k")
        assert passed.status == 409 and server.requests[-1].target == "/v2/box/x/preview"


def test_an_upstream_in_another_place_of_the_list(tmp_path):
    """A reload that gives an upstream's place to another one sends no request to the wrong servers, and loses none."""
    with RawOrigin(answer("right")) as right, RawOrigin(answer("wrong")) as wrong:
        config = api_config([right.port], api={"upstream": "api"})
        config["upstreams"].append({"name": "other", "servers": [f"127.0.0.1:{wrong.port}"]})
        with Edge(tmp_path, workers=2, config=config) as edge:
            seen, stop = [], threading.Event()

            def ask():
                while not stop.is_set():
                    seen.append(call(edge))

            askers = [threading.Thread(target=ask) for _ in range(3)]
            for asker in askers:
                asker.start()
            for _ in range(6):
                edge.config["upstreams"].reverse()
                edge.write_config()
                edge.command("reload")
            stop.set()
            for asker in askers:
                asker.join()
            assert {(r.status, r.body) for r in seen} == {(200, b"right")} and len(seen) > 10
            assert not wrong.requests


def test_previews_without_a_controller(boxes):
    _, edge = boxes
    box = make_box(edge)
    edge.expect_deaths = True
    os.kill(edge.pids("controller")[0], signal.SIGSTOP)
    stopped = edge.pids("controller")[0]
    try:
        assert preview(edge, box, None, method="GET").status == 200
        refused = preview(edge, box, {"port": 3000})
        assert (refused.status, error(refused)) == (503, "controller_unavailable")
        assert refused.get("retry-after")
    finally:
        try:
            os.kill(stopped, signal.SIGCONT)
        except ProcessLookupError:
            pass
    edge.wait_until(lambda: preview(edge, box, {"port": 3000}).status == 200, what="a controller")
