"""The API host: routes without a key, routes that prove one, pages that call the API, the form of a key, and keys sent
to other hosts."""

import hashlib
import json
import signal
import subprocess

import pytest

from api_world import API, answer, api_config, call, error
from control_plane import BoxAddresses
from harness import BINARY, PATIENCE, Edge, HttpOrigin, RawOrigin, local_box

PLANS = [{"name": "known", "rate": "0"}, {"name": "client", "rate": "1/d", "burst": 1000}]
LIMITS = {"plans": PLANS, "api": {"default_plan": "known", "client_plan": "client"}}


def plan_of(response):
    """By the fields of the response: a plan without a rate sends none."""
    return "client" if response.get("ratelimit-policy") else "known"


def start(tmp_path, server, **api):
    return Edge(tmp_path, config=api_config([server.port], plans=PLANS, api={**LIMITS["api"], **api}))


# ---- proofs for certificates

@pytest.mark.parametrize("kind", ["tls", "plain", "redirect"])
def test_no_upstream_proves_that_it_owns_the_api_host(tmp_path, kind):
    """With any credentials, and also if the operator lets such paths through without a key."""
    seen = []

    def api(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            seen.append(request.target)
            conn.send(answer("ok"))

    preflight = ["Origin: https://page.example", "Access-Control-Request-Method: GET"]
    with RawOrigin(api) as server, start(tmp_path, server, unkeyed=["/.well-known/*", {"path": "/*", "method": "GET"}],
                                         cors=[{"origin": "*"}]) as edge:
        for path in ("/.well-known/acme-challenge/token", "/.well-known/acme-challenge", "/.well-known/acme-challenge/a?b",
                     "/.Well-Known/ACME-Challenge/token", "/.well-known/pki-validation/fileauth.txt"):
            for key, method, fields in ((None, "GET", []), ("k-test", "GET", []), ("k-test", "POST", []), (None, "HEAD", []),
                                        (None, "OPTIONS", preflight)):
                refused = call(edge, path, key=key, method=method, fields=fields, kind=kind)
                assert refused.status == 404 and (method == "HEAD" or error(refused) == "not_found"), (path, method, refused)
        if kind != "redirect":
            assert call(edge, "/.well-known/acme-challenger", kind=kind).status == 200
            assert seen == ["/.well-known/acme-challenger"]
        assert not [target for target in seen if target != "/.well-known/acme-challenger"]


# ---- routes that prove a key

@pytest.mark.parametrize("method, path, proves", [
    ("GET", "/v2/box", True), ("POST", "/v2/box/a/exec", True), ("GET", "/v2/box/Name", True), ("GET", "/status", False),
    ("GET", "/", False), ("OPTIONS", "/v2/box", False), ("GET", "/v2/../status", False), ("GET", "/v2/%2e%2e/status", False),
    ("GET", "/v2", False), ("GET", "/x/..;/v2/box", False), ("GET", "/v2/box/a/browser/cdp", False),
    ("GET", "/v2/box/a/browser/cdp%3fx", False), ("GET", "/v2/box/a/browser/%2563dp", False)])
def test_a_key_is_proved_where_the_upstream_looks_at_it(tmp_path, method, path, proves):
    with RawOrigin(answer("ok")) as server, start(tmp_path, server) as edge:
        assert plan_of(call(edge, path, key="new", method=method)) == "client"
        assert plan_of(call(edge, "/other", key="new")) == ("known" if proves else "client")


def test_routes_that_prove_can_be_named(tmp_path):
    with RawOrigin(answer("ok")) as server, start(tmp_path, server, proves=[{"path": "/me/{id}", "method": "GET"}, "/all/*"]) as edge:
        for path, method, proves in (("/v2/box", "GET", False), ("/me/1", "POST", False), ("/me/1", "GET", True),
                                     ("/all/a/b", "PUT", True), ("/me/1/2", "GET", False)):
            key = hashlib.sha256(f"{method}{path}".encode()).hexdigest()
            call(edge, path, key=key, method=method)
            assert plan_of(call(edge, "/x", key=key)) == ("known" if proves else "client"), path


def test_one_address_proves_a_bounded_number_of_keys(tmp_path):
    with RawOrigin(answer("ok")) as server, start(tmp_path, server, new_keys="3/d") as edge:
        for i in range(5):
            for _ in range(3):
                call(edge, key=f"key-{i}")
        assert [plan_of(call(edge, key=f"key-{i}")) for i in range(5)] == ["known"] * 3 + ["client"] * 2
        # Names with another meaning here are none of them.
        made = edge.command("key", "create", "mine", "--plan", "known").strip()
        assert plan_of(call(edge, key=made)) == "known"


# ---- routes without a key

def test_routes_that_carry_a_proof_of_their_own(tmp_path):
    def api(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            conn.send(answer(request.target, fields=["X-Key: " + (request.get("x-box-api-key") or "none")]))

    with RawOrigin(api) as server, start(tmp_path, server, unkeyed=["/hook", {"path": "/v2/box/{id}/cdp", "method": "GET"}]) as edge:
        for path, method in (("/v2/box/b/cdp?token=SECRET", "GET"), ("/hook", "POST"), ("/hook?a", "GET")):
            passed = call(edge, path, key=None, method=method)
            assert (passed.status, passed.body.decode(), plan_of(passed)) == (200, path, "client")
        for path, method in (("/v2/box/b/cdp", "POST"), ("/v2/box/b/cdp/", "GET"), ("/v2/box/b/%63dp", "GET"),
                             ("/V2/box/b/cdp", "GET"), ("/hook/x", "GET"), ("/hook%2f..%2fv2%2fbox", "GET"), ("/v2/box", "GET"),
                             ("/hook/../v2/box", "GET"), ("/v2/box/b/browser/cdp", "GET")):
            refused = call(edge, path, key=None, method=method)
            assert (refused.status, error(refused)) == (401, "key_required"), path
        assert call(edge, "/hook", key="mine").get("x-key") == "mine"
        refused = call(edge, "/hook", key="a b")
        assert (refused.status, error(refused)) == (401, "key_malformed")
        edge.wait_for_line(lambda line: line.get("path", "").startswith("/v2/box/b/cdp?"))
        assert "SECRET" not in str(edge.access.lines)


def test_a_websocket_with_its_token_in_the_query(tmp_path):
    """By default, where the API's clients get such URLs."""
    accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    def api(conn):
        conn.read_request(timeout=3600)
        conn.send(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  f"Sec-WebSocket-Accept: {accept}\r\n\r\nhello".encode())
        conn.done.wait(PATIENCE)

    with RawOrigin(api) as server, Edge(tmp_path, config=api_config([server.port])) as edge, edge.connect("plain") as client:
        client.send(f"GET /v2/box/b/browser/cdp?token=t HTTP/1.1\r\nHost: {API}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        assert client.read_head().status == 101
        assert client.read_exactly(5) == b"hello"
        assert server.requests[0].target == "/v2/box/b/browser/cdp?token=t"


def test_without_a_key_nobody_floods_them(tmp_path):
    with RawOrigin(answer("ok")) as server, Edge(tmp_path, config=api_config(
            [server.port], plans=[{"name": "client", "rate": "1/d", "burst": 2}],
            api={"client_plan": "client", "unkeyed": ["/hook"]})) as edge:
        assert [call(edge, "/hook", key=None).status for _ in range(3)] == [200, 200, 429]
        assert call(edge, "/hook", key=None, method="OPTIONS", fields=PREFLIGHT).status == 429


# ---- pages

PREFLIGHT = ["Origin: https://app.example", "Access-Control-Request-Method: POST",
             "Access-Control-Request-Headers: x-box-api-key, content-type"]


def test_preflights_are_the_upstreams(tmp_path):
    """Also those of preview endpoints, which the edge answers itself."""
    with RawOrigin(answer("", "204 No Content", ["Access-Control-Allow-Origin: *", "X-Mark: upstream"])) as server, \
            start(tmp_path, server) as edge:
        for path in ("/v2/box", "/v2/box/b/preview", "/v2/box/b"):
            passed = call(edge, path, key=None, method="OPTIONS", fields=PREFLIGHT)
            assert (passed.status, passed.get("x-mark"), plan_of(passed)) == (204, "upstream", "client"), path
        for fields in ([], PREFLIGHT[:1], PREFLIGHT[1:]):
            assert call(edge, key=None, method="OPTIONS", fields=fields).status == 401
        assert call(edge, key=None, method="OPTIONS", fields=PREFLIGHT, body=b"x").status == 401
        assert call(edge, key=None, fields=PREFLIGHT).status == 401


def test_preflights_of_listed_origins_are_answered(tmp_path):
    with RawOrigin(answer("mine")) as server, start(tmp_path, server, cors=["https://app.example", "http://localhost:5173"]) as edge:
        for origin in ("https://app.example", "http://localhost:5173"):
            said = call(edge, "/v2/box/b/exec", key=None, method="OPTIONS", fields=[f"Origin: {origin}", *PREFLIGHT[1:]])
            assert (said.status, said.get("access-control-allow-origin"), said.get("access-control-allow-methods"),
                    said.get("access-control-allow-headers"), said.body) == (
                        204, origin, "POST", "x-box-api-key, content-type", b"")
            assert "Origin" in said.get("vary") and int(said.get("access-control-max-age")) > 0
        assert not server.requests
        for origin in ("https://evil.example", "https://app.example.evil", "null", "https://APP.example"):
            assert call(edge, key=None, method="OPTIONS", fields=[f"Origin: {origin}", *PREFLIGHT[1:]]).body == b"mine"
        read = call(edge, fields=["Origin: https://app.example"])
        assert read.get("access-control-allow-origin") == "https://app.example" and "Origin" in read.get("vary")
        assert "RateLimit" in read.get("access-control-expose-headers")
        assert call(edge, fields=["Origin: https://evil.example"]).get("access-control-allow-origin") is None
        assert call(edge).get("access-control-allow-origin") is None
        refused = call(edge, key=None, fields=["Origin: https://app.example"])
        assert (refused.status, refused.all("access-control-allow-origin")) == (401, ["https://app.example"])


def test_what_the_upstream_says_of_origins_stays(tmp_path):
    with RawOrigin(answer("mine", fields=["Access-Control-Allow-Origin: https://its.example"])) as server, \
            start(tmp_path, server, cors=["*"]) as edge:
        read = call(edge, fields=["Origin: https://any.example"])
        assert read.all("access-control-allow-origin") == ["https://its.example"]
        said = call(edge, key=None, method="OPTIONS", fields=["Origin: https://any.example", *PREFLIGHT[1:]])
        assert (said.status, said.get("access-control-allow-origin")) == (204, "https://any.example")


# ---- the form of a key

@pytest.mark.parametrize("key", ["K,", '"K"', "'K'", "K;", "K, L", "K L", "K\\", "(K)", "<K>", "[K]", "{K}", "`K`", "Kä", ",",
                                 "x" * 513])
def test_what_is_no_key(shared, key):
    edge, server = shared
    for field in ("X-Box-Api-Key: ", "Authorization: Bearer "):
        refused = call(edge, key=None, fields=[field + key])
        assert (refused.status, error(refused)) == (401, "key_malformed"), field
    assert not server.requests


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory):
    with RawOrigin(answer("ok")) as server, Edge(tmp_path_factory.mktemp("grammar"), config=api_config([server.port])) as edge:
        yield edge, server


def test_what_is_one(tmp_path):
    with RawOrigin(answer("ok")) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        for key in ("K", "box_abc-123.~", "a+b/c==", "!#$%&*:?@^_|~", "x" * 512):
            assert call(edge, key=key).status == 200
            assert call(edge, key=None, fields=[f"Authorization: Bearer {key}"]).status == 200


# ---- keys that are sent to a preview

def test_a_known_key_does_not_reach_a_box(tmp_path):
    with HttpOrigin() as app, RawOrigin(answer("ok")) as server:
        config = api_config([server.port], keys={"declared": ("ci", "known")}, plans=PLANS, api=LIMITS["api"])
        with Edge(tmp_path, config=config, boxes=[local_box("box", app)]) as edge:
            edge.create_preview(app.port)
            made = edge.command("key", "create", "made", "--plan", "known").strip()
            assert call(edge, key="learnt").status == 200

            def seen(*fields):
                got = json.loads(edge.get(Edge.host(app.port), "/echo", fields=list(fields)).body)
                return [value for name, value in got["fields"] if name.lower().replace("_", "-") == "x-box-api-key"]

            for key in ("declared", made, "learnt", f'"{made}"', f"{made},", "learnt;"):
                assert seen(f"X-Box-Api-Key: {key}") == [], key
                assert seen(f"x_box_api_key: {key}") == [], key
            assert seen("X-Box-Api-Key: another") == ["another"]
            edge.command("key", "revoke", "made")
            assert seen(f"X-Box-Api-Key: {made}") == []


# ---- boxes at this machine's addresses

@pytest.fixture(params=["loopback", "another"])
def own_address(request):
    """An address of this machine."""
    if request.param == "loopback":
        yield "127.0.0.1"
        return
    with BoxAddresses(1) as (address,):
        yield address


def test_a_machine_whose_ports_any_client_could_publish_is_refused(own_address, tmp_path):
    """By a check, a start and a reload: the unit tests of check have all cases."""
    with RawOrigin(answer("ok")) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        edge.config["boxes"] = [local_box("dev", address=own_address)]
        edge.write_config()
        done = subprocess.run([str(BINARY), "check", "-c", str(edge.config_path)], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "boxes[0].ports: is missing" in done.stderr, done
        edge.process.send_signal(signal.SIGHUP)
        edge.stderr.wait_for(lambda line: "boxes[0].ports: is missing" in line)
        edge.stderr.wait_for(lambda line: "not reloaded" in line)
        assert call(edge, "/").status == 200
        edge.stop()
        done = subprocess.run([str(BINARY), "run", "-c", str(edge.config_path)], capture_output=True, text=True, check=False,
                              timeout=60)
        assert done.returncode != 0 and "boxes[0].ports: is missing" in done.stderr, done


def test_an_address_that_the_machine_gets_later_publishes_no_port(tmp_path):
    def api(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            conn.send(answer(json.dumps({"id": request.target.split("/")[3], "status": "idle"})))

    with BoxAddresses(1) as (address,):
        pass  # no machine's any more
    with RawOrigin(api) as server, \
            Edge(tmp_path, config=api_config([server.port]), boxes=[local_box("dev", address=address)]) as edge:
        def create(port):
            return call(edge, "/v2/box/dev/preview", method="POST", body=json.dumps({"port": port}).encode())

        assert create(3000).status == 200
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
        try:
            refused = create(3001)
            assert (refused.status, error(refused)) == (403, "port_not_exposed")
            assert "boxes[0].ports: is missing" in edge.command("reload", check=False).stderr
        finally:
            subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)
        assert create(3001).status == 200
        edge.command("reload")


def test_over_the_api_only_declared_ports_of_this_machine(tmp_path):
    def api(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            conn.send(answer(json.dumps({"id": request.target.split("/")[3], "status": "idle"})))

    with HttpOrigin() as app, RawOrigin(api) as server, Edge(tmp_path, config=api_config([server.port]), boxes=[
            local_box("part", app)]) as edge:
        def create(box, port):
            body = json.dumps({"port": port}).encode()
            return call(edge, f"/v2/box/{box}/preview", method="POST", body=body)

        refused = create("part", app.port + 1 if app.port < 65535 else 1)
        assert (refused.status, error(refused)) == (400, "port_not_exposed")
        assert create("part", app.port).status == 200
        assert edge.get(Edge.host(app.port, "part"), "/echo").status == 200
        edge.config["boxes"][0]["ports"] = [1]
        edge.write_config()
        edge.command("reload")
        edge.wait_until(lambda: edge.get(Edge.host(app.port, "part"), "/echo").status != 200, what="the port to be closed")
