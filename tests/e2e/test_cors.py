"""Pages of listed origins read every answer that the edge makes, with the credentials of their visitor: each
code of docs/http.md over both versions, from a listed origin, from another one and without Origin."""

import contextlib
import dataclasses
import json
import os
import re
import secrets

import pytest

from access_world import H2, SIGN_IN, Answer, App, Made, connect
from api_world import API, answer, api_config
from harness import PATIENCE, PORTS, ROOT, SLOW, Edge, HttpOrigin, RawOrigin, local_box

FRIEND, STRANGER = "https://friend.example", "https://elsewhere.example"
ORIGINS = (FRIEND, STRANGER, "null", None)
EXPOSED = ("Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
           "X-Request-Id")
LARGE = "a=" + "x" * 33000
PREFLIGHT = (("access-control-request-method", "PUT"), ("access-control-request-headers", "x-box-api-key"))
FORM = ("content-type", "application/x-www-form-urlencoded")
WS = (("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
      ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))


@dataclasses.dataclass
class Row:
    """A request and the edge's answer: `to` names a preview of the world. `listed`: Host and Origin had only
    one reading, and the preview has a list. `unread`: versions in which Origin was not read at all. `h2` is
    the difference over HTTP/2. `before`: the world's preparation of each request. `of_pages`: without Origin
    it is another request."""

    code: str | None
    status: int
    to: str = "open"
    method: str = "GET"
    path: str = "/"
    fields: tuple = ()
    body: bytes = b""
    kind: str = "tls"
    source: str | None = None
    versions: tuple = ("1.1", "2")
    listed: bool = True
    unread: tuple = ()
    key: str | None = "k-known"
    h2: dict | None = None
    pseudo: tuple = ()
    before: str | None = None
    body_ends: bool = True
    of_pages: bool = False


H1 = ("1.1",)
SAME = (("content-length", "5"), ("transfer-encoding", "chunked"))

PREVIEW_ROWS = {
    # before the preview is known
    "two framings": Row("bad_request", 400, fields=SAME, h2={"path": "/a#b", "fields": ()}),
    "a chunk": Row("bad_chunk", 400, method="POST", fields=(("transfer-encoding", "chunked"),), body=b"xyz\r\n", versions=H1),
    "a blocked box": Row("blocked", 403, "barred"),
    "a blocked network": Row("blocked", 403, source="127.0.9.9"),
    "a blocked network, at no preview": Row("blocked", 403, "nothing", source="127.0.9.9", listed=False),
    "in the clear": Row("tls_required", 403, fields=(("x-preview-token", "x"),), kind="redirect", versions=H1),
    "a redirect": Row(None, 308, kind="redirect", versions=H1),
    "a proof for a certificate": Row("not_found", 404, path="/.well-known/acme-challenge/x"),
    "an expectation": Row("expectation_failed", 417, method="POST", fields=(("expect", "x"), ("content-length", "1")), body=b"x"),
    "a cookie": Row("head_too_large", 431, fields=(("cookie", LARGE),)),
    "many fields": Row("head_too_large", 431, fields=tuple((f"x-{i}", "y") for i in range(120))),
    "a transfer coding": Row("not_implemented", 501, method="POST", fields=(("transfer-encoding", "gzip"),),
                             h2={"method": "CONNECT", "fields": (), "pseudo": ((":protocol", "other"),)}),
    "no preview": Row("preview_not_found", 404, "nothing", listed=False),
    "another host": Row("wrong_host", 421, "foreign", listed=False),
    # Host or Origin is in doubt, or was not read
    "two Hosts": Row("bad_request", 400, fields=(("host", "other.test"),), listed=False),
    "two Origins": Row("bad_request", 400, fields=(("origin", FRIEND),), listed=False, of_pages=True),
    "a bad field": Row("bad_request", 400, fields=(("a b", "c"),), listed=False, unread=H1),
    "a large target": Row("uri_too_long", 414, path="/" + "x" * 33000, listed=False, unread=H1, versions=H1),
    "a version": Row("version_not_supported", 505, pseudo=("HTTP/2.9",), listed=False, unread=H1, versions=H1),
    # after that
    "no token": Row("unauthorized", 401, "private"),
    "a form from elsewhere": Row("cross_site", 403, "private", "POST", SIGN_IN, (FORM,), b"token=x", of_pages=True),
    "nothing there": Row("not_found", 404, path="/.well-known/boxedge/none"),
    "a method": Row("method_not_allowed", 405, "private", "PUT", SIGN_IN),
    "a slow body": Row("request_timeout", 408, method="POST", fields=(("content-length", "5"),), body_ends=False),
    "many wrong tokens": Row("locked", 429, "private", fields=(("authorization", "Bearer x"),), source="127.0.9.2", before="lock"),
    "many preflights": Row("too_many_preflights", 429, "private", "OPTIONS", fields=PREFLIGHT, kind="plain", source="127.0.9.3",
                           before="flood", versions=H1, of_pages=True),
    "a closed port": Row("port_not_listening", 502, "closed"),
    "no answer": Row("origin_closed", 502, "rude"),
    "nonsense": Row("bad_response", 502, "nonsense"),
    "HTTP/2 in vain": Row("origin_not_http2", 502, "not_h2"),
    "a WebSocket over HTTP/2": Row("websocket_unsupported", 502, "not_h2", fields=WS, versions=H1),
    "a slow answer": Row("origin_timeout", 504, "silent"),
    "a loop": Row("loop", 508, fields=(("cdn-loop", "boxedge-test;host=HOST"),)),
    "a box that failed": Row("wake_failed", 503, "failing"),
    "a box that sleeps": Row("box_asleep", 503, "asleep", fields=(("x-box-no-wake", "1"),)),
    "a preflight of one": Row(None, 204, "asleep", "OPTIONS", fields=PREFLIGHT, of_pages=True),
}

DELETE = {"method": "DELETE", "path": "/v2/box"}
API_ROWS = {
    "two framings": Row("bad_request", 400, fields=SAME, h2={"path": "/a#b", "fields": ()}),
    "an expectation": Row("expectation_failed", 417, method="POST", fields=(("expect", "x"), ("content-length", "1")), body=b"x"),
    "a cookie": Row("head_too_large", 431, fields=(("cookie", LARGE),)),
    "a proof for a certificate": Row("not_found", 404, path="/.well-known/acme-challenge/x"),
    "a blocked network": Row("blocked", 403, source="127.0.9.9"),
    "in the clear": Row("tls_required", 403, kind="redirect", versions=H1),
    "two Hosts": Row("bad_request", 400, fields=(("host", "other.test"),), listed=False),
    "no key": Row("key_required", 401, key=None),
    "a key that is none": Row("key_malformed", 401, key='"x"'),
    "a refused key": Row("key_refused", 401, key="k-refused", before="refuse"),
    "a revoked key": Row("key_revoked", 401, key="k-revoked"),
    "a plan that is used up": Row("rate_limited", 429, key="k-small", before="use_up"),
    "a preflight": Row(None, 204, method="OPTIONS", fields=PREFLIGHT, key=None, of_pages=True),
    "another spelling": Row("misspelled_path", 400, path="/v2/box//b/preview"),
    "a query": Row("bad_query", 400, **{**DELETE, "path": "/v2/box?x"}),
    "no list": Row("bad_body", 400, body=b"x", **DELETE),
    "many boxes": Row("too_many_boxes", 413, body=json.dumps({"ids": ["x"] * 101}).encode(), **DELETE),
    "a large list": Row("body_too_large", 413, body=json.dumps({"ids": ["x" * 70000]}).encode(), **DELETE),
    "a method": Row("method_not_allowed", 405, method="PATCH", path="/v2/box/b/preview"),
    "nonsense": Row("bad_response", 502, path="/nonsense"),
    "no answer": Row("origin_closed", 502, method="POST", path="/close", body=b"x"),
    "a loop": Row("loop", 508, fields=(("cdn-loop", "boxedge-test;host=HOST"),)),
}

# Codes that are answered in the same place as those above, and need a state of the edge that other tests
# make.
OF_THE_PREVIEW = {"port_not_exposed", "box_unreachable", "port_on_loopback", "port_not_in_box", "origin_refused", "box_paused",
                  "box_gone", "client_busy", "box_busy", "no_descriptors", "waking", "wake_timeout", "wake_rate",
                  "provider_unavailable", "too_many_waiting", "too_many_wakes", "connect_timeout", "store_unavailable",
                  "box_in_doubt", "preview_damaged", "killed", "host_refused",
                  "link_not_found", "link_reads_only", "link_busy"}
OF_THE_API = {"alias_taken", "id_is_alias", "box_being_deleted", "deletions_full", "bad_alias", "bad_box", "bad_port", "bad_access",
              "label_too_long", "box_ephemeral", "server_is_edge", "origin_tls_failed", "api_busy", "controller_unavailable", "store_busy", "store_full",
              "preview_is_public", "too_many_links"}
# Pages of other origins get cross_site in its place.
OF_ITS_OWN_PAGES = {"unsupported_media_type"}
# In separate tests, below.
ALONE = {"overloaded", "too_many_connections", "server_unreachable", "api_unavailable"}


def test_every_code_is_crossed():
    text = (ROOT / "docs/http.md").read_text()
    codes = {code for cell in re.findall(r"^\| \d{3} \| ((?:`\w+`(?:, )?)+) \|", text, re.M) for code in re.findall(r"\w+", cell)}
    crossed = {row.code for row in (*PREVIEW_ROWS.values(), *API_ROWS.values())} - {None}
    assert len(codes) > 70 and codes == crossed | OF_THE_PREVIEW | OF_THE_API | OF_ITS_OWN_PAGES | ALONE


# ---- requests

def ask_h1(edge, host, name, row, fields):
    lines = [f"{row.method} {row.path} {row.pseudo[0] if row.pseudo else 'HTTP/1.1'}", f"Host: {host}:{edge.port[row.kind]}",
             *(f"{k}: {v}" for k, v in fields)]
    if row.body and not any(k in ("content-length", "transfer-encoding") for k, _ in fields):
        lines.append(f"Content-Length: {len(row.body)}")
    with connect(edge, name, row.source, row.kind) as client:
        return client.request("\r\n".join(lines).encode() + b"\r\n\r\n" + row.body, row.method)


def ask_h2(edge, host, name, row, fields):
    with H2(edge, name, row.source) as client:
        stream = client.h2.get_next_available_stream_id()
        pseudo = [(":method", row.method), (":scheme", "https"), (":authority", f"{host}:{edge.port['tls']}"), (":path", row.path),
                  *row.pseudo]
        whole = not row.body and row.body_ends and row.method != "CONNECT"
        client.h2.send_headers(stream, pseudo + list(fields), end_stream=whole)
        client.flush()
        if row.body:
            client.send(stream, row.body, end=True)
        got = client.finish(stream, PATIENCE * SLOW)
        return Answer(got.status, got.list, bytes(got.body))


def ask(edge, host, row, version, origin):
    if version == "2" and row.h2:
        row = dataclasses.replace(row, **row.h2)
    fields = [*([("origin", origin)] if origin else []), *((k, v.replace("HOST", host)) for k, v in row.fields)]
    if row.to == "api" and row.key:
        fields.append(("x-box-api-key", row.key))
    name = host if row.to != "foreign" else edge.host(1)  # for which a certificate exists
    return (ask_h1 if version == "1.1" else ask_h2)(edge, host, name, row, fields)


def check(got, row, version, origin):
    if row.code is not None and got.body and got.get("content-type") == "application/json":
        assert json.loads(got.body)["code"] == row.code
    assert got.status == row.status, (got.status, got.body[:300])
    echoed = [origin] if origin and version not in row.unread else []
    assert got.all("access-control-allow-origin") == echoed
    assert got.all("access-control-allow-credentials") == (["true"] if origin == FRIEND and row.listed else [])
    assert got.all("access-control-expose-headers") == ([EXPOSED] if echoed else [])
    assert ("Origin" in got.all("vary")) == bool(echoed)
    assert got.get("x-request-id") and got.get("cache-control") == "no-store"


def cross(world, row, version):
    for origin in ORIGINS:
        if origin is None and row.of_pages:
            continue
        for _ in range(50):
            if row.before:
                getattr(world, row.before)(row)
            got = ask(world.edge, world.hosts[row.to], row, version, origin)
            if row.before != "flood" or got.status == row.status:
                break  # a slow machine refills a preflight before this one arrives
        check(got, row, version, origin)


def crossed(rows):
    return [pytest.param(row, version, id=f"{name}-{version}") for name, row in rows.items() for version in row.versions]


# ---- previews

def rude(conn):
    conn.read_request(timeout=3600)


def silent(conn):
    conn.read_request(timeout=3600)
    conn.wait_closed(3600)


def old(conn):
    conn.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    conn.wait_closed(3600)


class World:
    def __init__(self, directory, stack):
        ports = {name: stack.enter_context(app).port for name, app in (
            ("open", App()), ("private", App()), ("rude", RawOrigin(rude)), ("silent", RawOrigin(silent)),
            ("nonsense", RawOrigin(b"nonsense\r\n\r\n")), ("not_h2", RawOrigin(old)))}
        ports |= {"closed": PORTS.take(), "failing": PORTS.take(), "asleep": PORTS.take(), "barred": ports["open"]}
        processes = [{"id": name, "command": ["/bin/false"], "ports": [ports[name]], "directory": "/",
                      **({"user": "nobody"} if os.geteuid() == 0 else {})} for name in ("failing", "asleep")]
        config = {"timeouts": {"body_idle": "300ms", "first_byte": "300ms"}, "processes": processes}
        self.edge = stack.enter_context(Edge(directory, config=config, boxes=[local_box("box"), local_box("barred")]))
        self.hosts = {"nothing": self.edge.host(1), "foreign": "foreign.test"}
        for name, port in ports.items():
            box = name if name in ("failing", "asleep", "barred") else "box"
            Made(self.edge, box, port, "bearer" if name == "private" else "public", "--allow-origin", FRIEND,
                 *(["--protocol", "h2c"] if name == "not_h2" else []))
            self.hosts[name] = self.edge.host(port, box)
        self.edge.command("block", "box", "barred")
        self.edge.command("block", "cidr", "127.0.9.9/32")

    def lock(self, row):
        for _ in range(10):
            wrong = dataclasses.replace(row, fields=(("authorization", f"Bearer {secrets.token_urlsafe(32)}"),))
            ask(self.edge, self.hosts[row.to], wrong, "1.1", None)

    def flood(self, row):
        """Until one exceeds the limit."""
        preflight = dataclasses.replace(row, before=None)
        while ask(self.edge, self.hosts[row.to], preflight, "1.1", STRANGER).status != row.status:
            pass


@pytest.fixture(name="world", scope="module")
def fixture_world(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield World(tmp_path_factory.mktemp("previews"), stack)


@pytest.mark.parametrize("row, version", crossed(PREVIEW_ROWS))
def test_previews(world, row, version):
    cross(world, row, version)


# ---- the API

def upstream(conn):
    while (request := conn.read_request(timeout=3600)) is not None:
        if request.target == "/close":
            return
        refused = request.get("x-box-api-key") == "k-refused"
        conn.send(b"nonsense\r\n\r\n" if request.target == "/nonsense" else answer("", "401 Unauthorized") if refused else answer("mine"))


PLANS = [{"name": "known", "rate": "0"}, {"name": "client", "rate": "0"}, {"name": "small", "rate": "1/d", "burst": 1}]
KEYS = {f"k-{name}": (name, plan) for name, plan in (("known", "known"), ("small", "small"), ("revoked", "known"))}


class ApiWorld:
    def __init__(self, directory, stack):
        server = stack.enter_context(RawOrigin(upstream))
        # `*` is any origin, and lists none.
        config = api_config([server.port], keys=KEYS, plans=PLANS,
                            api={"cors": [FRIEND, "*"], "default_plan": "known", "client_plan": "client"})
        self.edge = stack.enter_context(Edge(directory, config=config))
        self.hosts = {"api": API}
        self.edge.command("block", "cidr", "127.0.9.9/32")
        self.edge.command("key", "revoke", "revoked")

    def refuse(self, row):
        assert ask(self.edge, API, row, "1.1", None).status == 401

    def use_up(self, row):
        ask(self.edge, API, row, "1.1", None)


@pytest.fixture(name="api", scope="module")
def fixture_api(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield ApiWorld(tmp_path_factory.mktemp("api"), stack)


@pytest.mark.parametrize("row, version", crossed({name: dataclasses.replace(row, to="api") for name, row in API_ROWS.items()}))
def test_the_api(api, row, version):
    cross(api, row, version)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_answers_of_the_upstream_stay_its_own(api, version):
    for origin in ORIGINS:
        got = ask(api.edge, API, Row(None, 200, "api"), version, origin)
        assert (got.status, got.body, got.get("access-control-allow-credentials")) == (200, b"mine", None)
        assert got.get("access-control-allow-origin") == origin


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_an_api_without_servers(tmp_path, version):
    config = api_config([PORTS.take()], keys=KEYS, plans=PLANS, api={"cors": [FRIEND]})
    with Edge(tmp_path, config=config) as edge:
        for code, status in (("server_unreachable", 502), ("api_unavailable", 503)):
            for origin in ORIGINS:
                row = Row(code, status, "api")
                check(ask(edge, API, row, version, origin), row, version, origin)
            edge.command("upstream", "drain", "api", config["upstreams"][0]["servers"][0])


# ---- overload

def test_too_many_requests_of_a_client(tmp_path):
    config = {"trusted_proxies": ["127.0.0.1"], "limits": {"connections_per_client": 1}}
    with RawOrigin(silent) as app, Edge(tmp_path, config=config) as edge, edge.connect("plain") as first:
        Made(edge, "box", app.port, "public", "--allow-origin", FRIEND)
        host, client = edge.host(app), ("x-forwarded-for", "192.0.2.3")
        first.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n{client[0]}: {client[1]}\r\n\r\n".encode())
        app.wait_requests(1)
        for version in ("1.1", "2"):
            for origin in ORIGINS:
                row = Row("too_many_connections", 429, fields=(client,))
                check(ask(edge, host, row, version, origin), row, version, origin)


def test_an_edge_without_memory(tmp_path):
    """The edge frees memory by resetting downloads that do not move: each request meets a full edge."""
    with HttpOrigin() as app, contextlib.ExitStack() as stack:
        edge = stack.enter_context(Edge(tmp_path, config={"limits": {"memory": "4MiB", "connections_per_client": 0}}))
        Made(edge, "box", app.port, "public", "--allow-origin", FRIEND)
        host, row = edge.host(app), Row("overloaded", 503, path="/echo", kind="plain")
        download = f"GET /bytes?n=10000000 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        for origin in ORIGINS:
            for _ in range(300):
                got = ask(edge, host, row, "1.1", origin)
                if got.status == 503:
                    break
                stack.enter_context(edge.connect("plain")).send(download)
            check(got, row, "1.1", origin)
