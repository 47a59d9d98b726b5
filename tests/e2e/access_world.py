"""Shared parts of the access tests: an app that remembers its requests, previews with all secrets that a
client can have, and requests as programs and browsers send them."""

import base64
import contextlib
import hashlib
import hmac
import json
import re
import secrets
import socket
import time
from urllib.parse import urlencode, urlsplit

import h2.settings

import access_table
import h2wire
import wire
from harness import PATIENCE, HttpOrigin

SIGN_IN = "/.well-known/boxedge/sign-in"
SIGN_OUT = "/.well-known/boxedge/sign-out"
COOKIE = access_table.COOKIE
SECRET_FIELDS = ("authorization", "x-preview-token", "cookie")


class App(HttpOrigin):
    """Echoes like HttpOrigin, accepts upgrades, and remembers each request by its path. Its answers set a
    cookie, to show that the edge's cookie comes beside it."""

    def __init__(self, **kw):
        super().__init__(**kw)
        self.seen = {}

    def _answer(self, conn, message):
        self.seen[urlsplit(message.target).path] = message
        key = message.get("sec-websocket-key")
        if key is None:
            super()._answer(conn, message)
            return
        accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while conn.read_some(timeout=3600):
            pass


def base64_text(text):
    return base64.b64encode(text.encode()).decode()


class Made:
    """The output of `preview create`."""

    def __init__(self, edge, box, port, kind, *options):
        flags = ["--bearer"] * access_table.has_bearer(kind) + ["--basic"] * access_table.has_basic(kind)
        flags = flags or ["--public"]
        answer = json.loads(edge.command("preview", "create", box, port, *flags, *options, "--json"))
        self.token = answer.get("token")
        self.user, self.password = answer.get("username"), answer.get("password")
        self.basic = f"{self.user}:{self.password}" if self.password else None
        self.all = [s for s in (self.token, self.password) if s]


class Preview:
    """A preview of `app` with every secret that a client may know of it: the present ones, the replaced ones,
    those of the box's other preview on the same port, and sessions of each."""

    def __init__(self, edge, app, kind, box="box", other="other", options=()):
        self.edge, self.app, self.kind, self.box = edge, app, kind, box
        self.host = edge.host(app, box)
        self.authority = f"{self.host}:{edge.port['tls']}"
        old = Made(edge, box, app.port, kind, *options)
        old_cookie = self.session(old)
        deleted = Made(edge, box, app.port, kind, *options)
        deleted_cookie = self.session(deleted)
        edge.command("preview", "delete", box, app.port)
        self.made = Made(edge, box, app.port, kind, *options)
        self.cookie = self.session(self.made)
        self.other = Made(edge, other, app.port, kind)
        other_cookie = self.session(self.other, edge.host(app, other))
        anyone = base64_text("user:" + secrets.token_urlsafe(32))
        self.values = {
            "token": self.made.token or secrets.token_urlsafe(32),
            "basic": base64_text(self.made.basic) if self.made.basic else anyone,
            "other_token": self.other.token or secrets.token_urlsafe(32),
            "other_basic": base64_text(self.other.basic) if self.other.basic else anyone,
            "old_token": old.token or secrets.token_urlsafe(32),
            "old_basic": base64_text(old.basic) if old.basic else anyone,
            "deleted_token": deleted.token or secrets.token_urlsafe(32),
            "wrong": secrets.token_urlsafe(32),
            "wrong_basic": base64_text("user:" + secrets.token_urlsafe(32)),
            "cookie": self.cookie or "v1.1.x",
            "other_cookie": other_cookie or "v1.1.x",
            "old_cookie": old_cookie or "v1.1.x",
            "deleted_cookie": deleted_cookie or "v1.1.x",
            "tampered_cookie": tampered(self.cookie) if self.cookie else "v1.1.x",
            "expired_cookie": self.forged_session(int(time.time()) - 1) if self.cookie else "v1.1.x",
        }
        self.values["token_base64"] = base64_text(self.values["token"])
        self.secrets = {s for one in (old, deleted, self.made, self.other) for s in one.all}
        self.secrets |= {v for name, v in self.values.items() if len(v) > 10}

    # ---- sessions

    def session(self, made, host=None):
        """A session that the edge gave for right credentials; None for a public preview."""
        host = host or self.host
        if made.token:
            answer = self.post_form({"token": made.token, "next": "/"}, host=host)
        elif made.basic:
            answer = get(self.edge, host, fields=["Accept: text/html", "Authorization: Basic " + base64_text(made.basic)])
        else:
            return None
        return session_in(answer.all("set-cookie"))

    def post_form(self, values, path=SIGN_IN, fields=(), host=None, kind="tls"):
        return get(self.edge, host or self.host, path, ["Content-Type: application/x-www-form-urlencoded", *fields],
                   "POST", urlencode(values).encode(), kind=kind)

    def forged_session(self, expires):
        """A session with another expiry, signed as the edge would: with the key in its store, and this
        preview's version. A search finds both: they reproduce the session that the edge issued."""
        given = int(self.cookie.split(".")[1])
        if not hasattr(self.edge, "session_key"):
            data = b"".join(path.read_bytes() for path in self.edge.state_dir.rglob("data.mdb"))
            tries = ((data[at : at + 32], version) for version in range(1, 50) for at in range(0, len(data) - 32, 2))
            self.edge.session_key = next(key for key, version in tries
                                         if key.count(0) < 8 and session_text(key, version, given, self.host) == self.cookie)
        key = self.edge.session_key
        version = next(v for v in range(1, 100_000) if session_text(key, v, given, self.host) == self.cookie)
        return session_text(key, version, expires, self.host)


def session_text(key, version, expires, host):
    text = b"\x01" + version.to_bytes(8, "big") + expires.to_bytes(8, "big") + host.encode()
    mac = base64.urlsafe_b64encode(hmac.new(key, text, hashlib.sha256).digest()).rstrip(b"=").decode()
    return f"v1.{expires}.{mac}"


def tampered(cookie):
    version, expires, mac = cookie.split(".")
    return f"{version}.{int(expires) + 1}.{mac}"


def session_in(set_cookies):
    """The session that a response sets, after a check of its attributes."""
    for line in set_cookies:
        name, _, rest = line.partition("=")
        if name == COOKIE:
            value, *attributes = [piece.strip() for piece in rest.split(";")]
            assert sorted(attributes) == sorted(
                ["Path=/", "Secure", "HttpOnly", "SameSite=None", "Partitioned", "Max-Age=43200"])
            assert re.fullmatch(r"v1\.\d+\.[\w-]{43}", value)
            return value
    return None


# ---- requests

BODY = b"x" * 3000


def browser_fields(preview, request, site):
    """The fields that a browser adds to that kind of request from that site; a program's if site is "none"."""
    origin = {
        "own": f"https://{preview.authority}",
        "other": f"https://other-{preview.app.port}.{preview.host.split('.', 1)[1]}:{preview.edge.port['tls']}",
        "cross": "https://elsewhere.example",
    }.get(site)
    mode = {"navigation": "navigate", "asset": "no-cors", "upgrade": "websocket"}.get(request, "cors")
    fields = []
    if request == "navigation":
        fields.append(("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"))
    elif request == "asset":
        fields.append(("Accept", "image/*"))
    else:
        fields.append(("Accept", "*/*"))
    if origin is None:
        return fields
    if request not in ("navigation", "asset"):
        fields.append(("Origin", origin))
    fields += [("Sec-Fetch-Site", access_table.FETCH_SITE[site]), ("Sec-Fetch-Mode", mode),
               ("Sec-Fetch-Dest", {"navigation": "document", "asset": "image"}.get(request, "empty"))]
    if request == "preflight":
        fields += [("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "authorization")]
    return fields


def method_of(request):
    return {"upload": "POST", "preflight": "OPTIONS"}.get(request, "GET")


class Answer:
    """A response, of either version of HTTP: `fields` is a list with lower-case names."""

    def __init__(self, status, fields, body, continued=False):
        self.status, self.fields, self.body, self.continued = status, [(k.lower(), v) for k, v in fields], body, continued

    def all(self, name):
        return [v for k, v in self.fields if k == name.lower()]

    def get(self, name):
        return next(iter(self.all(name)), None)

    @property
    def json(self):
        assert self.get("content-type") == "application/json", (self.status, self.fields, self.body[:300])
        return json.loads(self.body)


def send_h1(edge, preview, request, path, fields, source=None, kind="tls"):
    """One request on a separate connection. An upload waits for 100 (Continue) before its body."""
    head = [f"{method_of(request)} {path} HTTP/1.1", f"Host: {preview.host}:{edge.port[kind]}"]
    head += [f"{k}: {v}" for k, v in fields]
    if request == "upgrade":
        head += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    elif request == "upload":
        head += [f"Content-Length: {len(BODY)}", "Expect: 100-continue"]
    method, continued = method_of(request), False
    with connect(edge, preview.host, source, kind) as client:
        client.send("\r\n".join(head).encode() + b"\r\n\r\n")
        message = client.read_message(request_method=method)
        if message.status == 100:
            continued = True
            client.send(BODY)
            message = client.read_message(request_method=method)
        if request == "upload" and not continued:
            # Refused before its body: the response is complete, and then the connection ends.
            assert client.wait_closed() == "eof"
    return Answer(message.status, message.fields, message.body, continued)


def get(edge, host, path="/", fields=(), method="GET", body=b"", source=None, kind="tls"):
    """One request on a separate connection, `fields` as lines; its Answer."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{edge.port[kind]}", "Connection: close", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    with connect(edge, host, source, kind) as client:
        message = client.request("\r\n".join(lines).encode() + b"\r\n\r\n" + body, method)
    return Answer(message.status, message.fields, message.body)


_contexts = {}


def connect(edge, host, source=None, kind="tls"):
    sock = socket.create_connection(("127.0.0.1", edge.port[kind]), PATIENCE, source_address=(source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if kind != "tls":
        return wire.Stream(sock)
    if edge not in _contexts:
        _contexts[edge] = edge.context()
    return wire.Stream(sock, _contexts[edge], host)


class H2(h2wire.Client):
    """One HTTP/2 connection for any number of requests; field names are not checked, values may repeat."""

    def __init__(self, edge, host, source=None):
        super().__init__(edge, host, validate=False, source=source)
        self.until(lambda: h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL in self.settings)

    def send_request(self, request, path, fields):
        fields = [(k.lower(), v) for k, v in fields]
        stream = self.h2.get_next_available_stream_id()
        pseudo = [(":method", "CONNECT" if request == "upgrade" else method_of(request)), (":scheme", "https"),
                  (":authority", f"{self.host}:{self.edge.port['tls']}"), (":path", path)]
        if request == "upgrade":
            pseudo.append((":protocol", "websocket"))
            fields.append(("sec-websocket-version", "13"))
        if request == "upload":
            fields += [("content-length", str(len(BODY))), ("expect", "100-continue")]
        self.h2.send_headers(stream, pseudo + fields, end_stream=request not in ("upgrade", "upload"))
        self.flush()
        answer = self.answer(stream)
        self.until(lambda: answer.status is not None or answer.informational or answer.reset is not None)
        continued = bool(answer.informational)
        if request == "upload" and continued:
            self.send(stream, BODY, end=True)
        if request == "upgrade" and answer.status == 200:
            with contextlib.suppress(Exception):
                self.h2.reset_stream(stream)
                self.flush()
        else:
            self.finish(stream)
        # In HTTP/1.1's spelling.
        status = 101 if request == "upgrade" and answer.status == 200 else answer.status
        return Answer(status, list(answer.list), bytes(answer.body), continued)

    def _take(self, event):
        super()._take(event)
        if hasattr(event, "headers") and getattr(event, "stream_id", None):
            self.answer(event.stream_id).list = [(k, v) for k, v in event.headers if not k.startswith(":")]


def preflights_at_once(edge, host, count, fields=(), source=None):
    """The statuses of preflights that arrive in one turn of the edge's loop, so that a slow machine does not
    spread them over the seconds of a rate: at most 128, in their order."""
    fields = [("origin", "https://a.example"), ("access-control-request-method", "PUT"), *fields]
    with h2wire.Client(edge, host, source=source) as client:
        client.catch_up()
        streams = [client.request("/p", "OPTIONS", fields, flush=False) for _ in range(count)]
        client.flush()
        return [client.finish(stream).status for stream in streams]


def fields_of(one, preview):
    """The fields of a way of presenting, with this preview's secrets."""
    return [(name, value.format(**preview.values)) for name, value in one.fields]


def query_of(one, preview):
    return one.query.format(**preview.values)
