"""Links of previews for tests: making them, and requests of a client that has one."""

import json
import re
import secrets
from urllib.parse import urlencode, urlsplit

import h2wire
from access_world import Answer, connect, get

PAGE = "/.well-known/boxedge/link"
COOKIE = "__Host-boxedge-link"
NAVIGATION = ("Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none", "Sec-Fetch-Dest: document")


class Link:
    """A link as `boxedge preview link create` shows it."""

    def __init__(self, edge, box, port, *options):
        self.edge = edge
        self.made = json.loads(edge.command("preview", "link", "create", box, port, *options, "--json"))
        self.id, self.url = self.made["id"], urlsplit(self.made["url"])
        self.host, self.target = self.url.hostname, f"{self.url.path}?{self.url.query}"
        self.key = self.url.query.removeprefix("key=")
        assert re.fullmatch(rf"{self.id}\.[\w-]{{43}}", self.key)
        self.secret = self.key.split(".")[1]

    @property
    def wrong(self):
        return f"{PAGE}?key={self.id}.{secrets.token_urlsafe(32)}"

    def ask(self, version="h1", target=None, method="GET", fields=(), body=b"", **more):
        return ask(version, self.edge, self.host, target or self.target, method, fields, body, **more)

    def post(self, version="h1", key=None, fields=(), **more):
        body = urlencode({"key": key or self.key}).encode()
        return self.ask(version, PAGE, "POST", ["Content-Type: application/x-www-form-urlencoded", *fields], body, **more)

    def open(self, version="h1", **more):
        """The Cookie field of a new session."""
        answer = self.post(version, **more) if self.made["once"] else self.ask(version, **more)
        assert answer.status == 303, (answer.status, answer.body)
        return f"Cookie: {COOKIE}={session_in(answer)}"

    def shown(self):
        """As `link list` has it; None: it does not."""
        links = json.loads(self.edge.command("preview", "link", "list", self.made["box"], "--json"))["links"]
        return next((link for link in links if link["id"] == self.id), None)

    def revoke(self):
        self.edge.command("preview", "link", "revoke", self.id)


def session_in(answer):
    """The session of a link that a response sets, after a check of its attributes."""
    (line,) = answer.all("set-cookie")
    value, *attributes = [piece.strip() for piece in line.removeprefix(COOKIE + "=").split(";")]
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=None", "Partitioned"} < set(attributes) and "Domain" not in line
    assert re.fullmatch(r"l1\.[0-9a-f]{16}\.[0-9a-f]{16}\.\d+\.[\w-]{43}", value)
    return value


def ask(version, edge, host, target="/", method="GET", fields=(), body=b"", **more):
    """One request on a separate connection, over h1 or h2."""
    if version == "h1":
        return get(edge, host, target, fields, method, body, **more)
    pairs = [(name.lower(), value) for name, value in (field.split(": ", 1) for field in fields)]
    if body:
        pairs.append(("content-length", str(len(body))))
    with h2wire.Client(edge, host, **more) as client:
        taken = []
        take = client._take  # pylint: disable=protected-access
        client._take = lambda event: (taken.extend(getattr(event, "headers", None) or []), take(event))[1]
        stream = client.request(target, method, pairs, end=not body)
        if body:
            client.send(stream, body, end=True)
        answer = client.finish(stream)
        return Answer(answer.status, [pair for pair in taken if not pair[0].startswith(":")], bytes(answer.body))


def upgrade(edge, host, fields=()):
    """The answer to a WebSocket's handshake, and its connection."""
    client = connect(edge, host)
    lines = ["GET /ws HTTP/1.1", f"Host: {host}:{edge.port['tls']}", "Connection: Upgrade", "Upgrade: websocket",
             "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
             f"Origin: https://{host}:{edge.port['tls']}", *fields]
    return client.request("\r\n".join(lines).encode() + b"\r\n\r\n"), client
