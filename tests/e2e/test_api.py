"""The API host: which requests pass, and how many."""

import base64
import hashlib
import json
import os
import re
import signal
import ssl
import threading

import pytest

from api_world import API, answer, api_config, call, error, metrics
from harness import PATIENCE, Edge, RawOrigin


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
        looped = call(edge, fields=[f"CDN-Loop: boxedge-test;host={API}"])
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
    """A WebSocket to the API ends when its client is blocked, like one to a box."""
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


# ---- rates


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
            # On a busy machine, a second may pass between two calls.
            calls = (call(edge, key="k") for _ in range(20))
            refused = next(answer for answer in calls if answer.status == 429)
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
            refused = [call(edge, key=None) for _ in range(11)]
            assert [r.status for r in refused] == [401] * 10 + [429]
            assert [r.get("ratelimit")[:9] for r in refused] == [f'"ten";r={n}' for n in [*range(9, -1, -1), 0]]
            # A flood of unknown keys draws on the same bucket.
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
            assert call(edge, key="bad").status == 429  # its address has no budget left
            assert call(edge, key="good").status == 200


def test_only_a_success_makes_a_key_known(tmp_path):
    """Answers that an API gives before it checks the key, such as 404 and preflights, give no key a separate bucket."""
    answers = {"/gone": answer("no", "404 Not Found"), "/slash": answer("", "307 Temporary Redirect"),
               "/busy": answer("", "503 Busy"), "/v2/good": answer("ok")}

    def decide(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            conn.send(answers[request.target])

    plans = [{"name": "free", "rate": "1/h", "burst": 50}, {"name": "anonymous", "rate": "1/h", "burst": 20}]
    config = api_config([0], plans=plans, api={"default_plan": "free", "client_plan": "anonymous"})
    with RawOrigin(decide) as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, config=config) as edge:
            for path, method in [("/gone", "GET"), ("/slash", "GET"), ("/busy", "POST"), ("/v2/good", "OPTIONS")] * 2:
                assert call(edge, path, method=method).get("ratelimit-policy").startswith('"anonymous"'), (path, method)
            assert call(edge, "/v2/good").get("ratelimit-policy").startswith('"anonymous"')
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
