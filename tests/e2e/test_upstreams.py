"""The controller's care of upstreams, from outside: names, active checks, draining, and the view of operators."""

import os
import re
import signal
import subprocess

import pytest

import harness
from admin_api import JSON, Admin
from api_world import answer, api_config, call, error
from h2origin import H2Origin
from harness import PATIENCE, PORTS, SLOW, Edge
from processes import ends_whole, upgrade
from origins import RawOrigin


class Server(RawOrigin):
    """Answers with its name, and on /health with the value of `health`."""

    def __init__(self, name, health="200 OK"):
        self.health = health
        self.checks = 0
        super().__init__(lambda conn: self._serve_named(conn, name))

    def _serve_named(self, conn, name):
        while (request := conn.read_request(timeout=3600)) is not None:
            if request.target == "/health":
                self.checks += 1
                conn.send(answer("", self.health))
                self.notify()
            else:
                conn.send(answer(name))


@pytest.fixture
def two():
    with Server("a") as a, Server("b") as b:
        yield a, b


def upstreams(edge):
    admin = Admin(edge.admin_socket)
    status, _, body = admin.call("GET", "/v1/upstreams")
    admin.close()
    assert status == 200, body
    return body["upstreams"]


def servers(edge):
    return {server["server"]: server for server in upstreams(edge)[0]["servers"]}


def change(edge, body, name="api", fields=JSON):
    admin = Admin(edge.admin_socket)
    status, _, answered = admin.call("PUT", f"/v1/upstreams/{name}", body, fields)
    admin.close()
    return status, answered


def figures(edge):
    """(figure, server) -> value of every server sample in /metrics."""
    admin = Admin(edge.admin_socket)
    text = admin.call("GET", "/metrics")[2].decode("ascii")
    admin.close()
    found = re.findall(r'^boxedge_upstream_server_([a-z_]+)\{upstream="api",server="([^"]+)",slot="(\d+)"\} (\d+)$', text,
                       re.M)
    assert len({(f, s, a) for f, s, a, _ in found}) == len(found)
    return {(figure, server): int(value) for figure, server, _, value in found}


def run(edge, *arguments):
    return subprocess.run([str(harness.BINARY), "upstream", *arguments, "-c", str(edge.config_path)], text=True,
                          capture_output=True, timeout=PATIENCE * SLOW, check=False)


def who(edge, n=8):
    return {call(edge).body.decode() for _ in range(n)}


def reload(edge, config):
    edge.config = {**edge.config, **config}
    edge.write_config()
    edge.command("reload")


def test_a_server_is_drained_and_taken_back(tmp_path, two):
    a, b = (f"127.0.0.1:{server.port}" for server in two)
    config = api_config([s.port for s in two], upstream={"balance": "round_robin", "slow_start": "0ms"})
    with Edge(tmp_path, workers=2, config=config) as edge:
        assert who(edge) == {"a", "b"}
        listed = upstreams(edge)
        assert [(u["name"], u["waiting"]) for u in listed] == [("api", 0)]
        assert [s["server"] for s in listed[0]["servers"]] == [a, b]
        for server in listed[0]["servers"]:
            assert server["address"] == server["server"] and server["weight"] == 1
            assert server["up"] is True and server["drained"] is False and server["ejected_ms"] == 0
            assert server["requests"] >= 2 and server["failures"] == server["ejections"] == 0 and server["latency_us"] > 0
        assert upstreams(edge)[0]["servers"][0].keys() == {
            "server", "address", "slot", "weight", "up", "drained", "ejected_ms", "in_flight", "latency_us", "requests",
            "failures", "ejections"}

        out = run(edge, "drain", "api", a)
        assert out.returncode == 0 and a in out.stdout and "no new requests" in out.stdout
        edge.stderr.wait_for(lambda line: f"upstream api: server {a} drained by uid" in line)
        assert who(edge) == {"b"} and servers(edge)[a]["drained"] is True and servers(edge)[b]["drained"] is False
        row = next(line for line in run(edge, "list").stdout.splitlines() if a in line)
        assert row.split()[:4] == ["api", a, a, "drained"]
        assert "upstream api: 1 of 2 servers usable" in edge.command("status")
        assert figures(edge)["drained", a] == 1 and figures(edge)["drained", b] == 0

        # Neither a reload nor a new controller undoes it.
        reload(edge, {"log": {"access": "stdout"}})
        edge.expect_deaths = True
        controller = edge.pids("controller")[0]
        os.kill(controller, signal.SIGKILL)
        edge.wait_until(lambda: edge.pids("controller") not in ([], [controller]), what="another controller")
        assert servers(edge)[a]["drained"] is True and servers(edge)[b]["requests"] >= 8 and who(edge) == {"b"}

        assert change(edge, {"server": a, "drained": False}) == (
            200, {"upstream": "api", "server": a, "drained": False, "addresses": 1, "in_flight": 0})
        assert who(edge) == {"a", "b"}
        assert run(edge, "undrain", "api", a).returncode == 0

        for server in (a, b):
            assert run(edge, "drain", "api", server).returncode == 0
        none = call(edge)
        assert (none.status, error(none), none.get("retry-after")) == (503, "api_unavailable", "5")


def test_changes_that_are_refused(tmp_path, two):
    a = f"127.0.0.1:{two[0].port}"
    config = api_config([two[0].port], upstream={"servers": [a, "nowhere.invalid:80"]})
    with Edge(tmp_path, config=config) as edge:
        for status, code, arguments in [
                (404, "no_upstream", ({"server": a, "drained": True}, "other")),
                (404, "no_upstream", ({"server": a, "drained": True}, "api/x")),
                (404, "no_server", ({"server": "127.0.0.1:1", "drained": True},)),
                (409, "no_address", ({"server": "nowhere.invalid:80", "drained": True},)),
                (400, "bad_server", ({"drained": True},)),
                (400, "bad_server", ({"server": 1, "drained": True},)),
                (400, "bad_server", ({"server": a},)),
                (400, "bad_field", ({"server": a, "drained": 1},)),
                (400, None, ({"server": a, "drained": True, "more": 1},)),
                (400, None, ("[]",)),
                (415, "json_required", ({"server": a, "drained": True}, "api", {}))]:
            got, body = change(edge, *arguments)
            assert got == status and body["code"] == (code or body["code"]), (arguments, body)
        assert not any(server.get("drained") for server in servers(edge).values())
        assert servers(edge)["nowhere.invalid:80"] == {"server": "nowhere.invalid:80", "address": None, "weight": 1}
        assert "unresolved" in run(edge, "list").stdout and "1 of 2 servers usable" in edge.command("status")
        for arguments in (["drain", "api"], ["drain", "a/b", a], ["drain"], [], ["drain", "api", a, "more"]):
            assert run(edge, *arguments).returncode == 2
        assert run(edge, "drain", "api", "127.0.0.1:1").returncode == 1
        assert "usage: boxedge upstream" in run(edge, "--help").stdout
        assert who(edge) == {"a"}


def test_a_server_that_is_not_well_gets_nothing(tmp_path, two):
    a, b = (f"127.0.0.1:{server.port}" for server in two)
    health = {"health_path": "/health", "health_interval": "100ms", "health_rise": 2, "health_fall": 2, "slow_start": "0ms",
              "balance": "round_robin", "panic_percent": 0}
    with Edge(tmp_path, workers=2, config=api_config([s.port for s in two], upstream=health)) as edge:
        two[0].wait(lambda o: o.checks >= 2)
        assert servers(edge)[a]["up"] and servers(edge)[b]["up"]
        two[1].health = "503 Busy"
        edge.stderr.wait_for(lambda line: f"server {b} is down: GET /health answered 503" in line)
        assert servers(edge)[b]["up"] is False and who(edge) == {"a"}
        assert figures(edge)["up", a] == 1 and figures(edge)["up", b] == 0
        assert "1 of 2 servers usable" in edge.command("status")
        row = next(line for line in run(edge, "list").stdout.splitlines() if b in line)
        assert row.split()[3] == "down"
        # Health checks are no requests of the API.
        assert figures(edge)["requests_total", b] == 0
        two[1].health = "302 Found"
        edge.stderr.wait_for(lambda line: f"server {b} is up" in line)
        assert servers(edge)[b]["up"] is True and who(edge, 30) == {"a", "b"}
        # Nothing listens on its port any more: it is down without a failed request.
        two[1].close()
        edge.stderr.wait_for(lambda line: f"server {b} is down" in line, count=2)
        assert who(edge) == {"a"}
        # Without checks all count as well.
        reload(edge, api_config([s.port for s in two]))
        assert servers(edge)[b]["up"] is True


def test_checks_speak_http2(tmp_path):
    closed = PORTS.take()
    with H2Origin() as app:
        upstream = {"protocol": "h2", "health_path": "/status?code=200", "health_interval": "100ms", "health_fall": 1}
        with Edge(tmp_path, config=api_config([app.port, closed], upstream=upstream)) as edge:
            app.wait_calls(3)
            edge.stderr.wait_for(lambda line: f"server 127.0.0.1:{closed} is down" in line)
            assert servers(edge)[f"127.0.0.1:{app.port}"]["up"] is True


def test_names_are_resolved(tmp_path, two):
    name = f"localhost:{two[0].port}"
    health = {"health_path": "/health", "health_interval": "100ms", "health_fall": 1, "panic_percent": 0}
    config = api_config([], upstream={"servers": [name], **health})
    with Edge(tmp_path, workers=2, config=config) as edge:
        edge.wait_until(lambda: call(edge).status == 200, what="an answer of localhost")
        two[0].wait(lambda o: o.checks >= 2)
        assert who(edge) == {"a"}
        listed = upstreams(edge)[0]["servers"]
        assert f"127.0.0.1:{two[0].port}" in [server["address"] for server in listed]
        assert {server["server"] for server in listed} == {name}
        # A server that stays in the configuration keeps its state, also if other parts change.
        before = sum(server["requests"] for server in listed)
        config["upstreams"][0]["servers"] = [name, f"127.0.0.1:{two[1].port}"]
        reload(edge, config)
        assert sum(server["requests"] for server in upstreams(edge)[0]["servers"] if server["server"] == name) >= before
        assert edge.command("upstream", "drain", "api", name)
        assert who(edge) == {"b"}


def test_the_edge_does_not_connect_to_itself(tmp_path):
    own = PORTS.take()
    config = api_config([], upstream={"servers": [f"localhost:{own}"]})
    with Edge(tmp_path, config=config, start=False) as edge:
        edge.config["listeners"].append({"address": f"127.0.0.1:{own}", "kind": "health"})
        edge.write_config()
        edge.start()
        edge.stderr.wait_for(lambda line: f"server localhost:{own} is at 127.0.0.1, the edge's own listener" in line)
        assert "127.0.0.1" not in str(servers(edge)[f"localhost:{own}"]["address"])


def test_a_drained_server_stays_so_after_an_upgrade(tmp_path, two):
    a, b = (f"127.0.0.1:{server.port}" for server in two)
    config = api_config([s.port for s in two], upstream={"balance": "round_robin", "slow_start": "0ms"})
    with Edge(tmp_path, workers=2, config=config) as edge, ends_whole(edge):
        assert who(edge) == {"a", "b"}
        assert run(edge, "drain", "api", a).returncode == 0
        asked = servers(edge)[b]["requests"]
        upgrade(edge)
        assert servers(edge)[a]["drained"] is True and servers(edge)[b]["requests"] >= asked
        assert who(edge) == {"b"}
