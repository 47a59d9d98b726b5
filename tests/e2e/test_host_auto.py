"""Previews with --host-header auto: an app that refuses its host is asked once more by another name, and the mode that
works is kept for the box, its generation and the port. Never on a public preview."""

import json
import os
import subprocess
import sys

import pytest

from harness import PATIENCE, PORTS, SLOW, HttpOrigin, RawOrigin
from test_http1 import HANDSHAKE

NAVIGATION = ["Sec-Fetch-Mode: navigate"]
VITE = "Blocked request. This host (%s) is not allowed.\nTo allow this host, add %s to `server.allowedHosts` in vite.config.js."
RAILS = "<!DOCTYPE html><title>Action Controller: Exception caught</title>" + " " * 5000 + "<h1>Blocked host: x</h1>"
# Status, type and body of each server that refuses a host (edge/preview/host_signature.c has the sources), and a part of
# the remedy.
REFUSALS = {
    "vite": (403, "text/plain", VITE % ('"a<b>"', '"a<b>"'), "vite.config.js"),
    "angular": (403, "text/html", "<!doctype html>\n<title>Blocked request</title>" + " " * 800 +
                '<h1>Blocked request. This host ("x") is not allowed.</h1>', "angular.json"),
    "webpack": (403, "", "Invalid Host header", "webpack.config.js"),
    "webpack4": (200, "text/html; charset=utf-8", "Invalid Host header", "webpack.config.js"),
    "django": (400, "text/html", "<!DOCTYPE html>\n<html><title>DisallowedHost\n at /</title>" + "x" * 60000, "ALLOWED_HOSTS"),
    "rails": (403, "text/html; charset=UTF-8", RAILS, "config.hosts"),
    "jupyter": (403, "text/html", "<!DOCTYPE HTML><title>Jupyter Server</title><h1>403 : Forbidden</h1>",
                "jupyter_server_config.py"),
}


def head_of(status, kind, more):
    return f"HTTP/1.1 {status} X\r\n" + (f"Content-Type: {kind}\r\n" if kind else "") + more + "\r\n"


def answer(status, kind, body, framing="length"):
    data = body.encode()
    if framing == "length":
        return head_of(status, kind, f"Content-Length: {len(data)}\r\n").encode() + data
    if framing == "close":
        return head_of(status, kind, "Connection: close\r\n").encode() + data
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + 700]), data[i:i + 700]) for i in range(0, len(data), 700))
    return head_of(status, kind, "Transfer-Encoding: chunked\r\n").encode() + chunks + b"0\r\n\r\n"


class Picky(RawOrigin):
    """An app that accepts only hosts for which `accepts(request)`, and refuses others as `refusal` says."""

    def __init__(self, accepts, refusal=REFUSALS["vite"][:3], framing="length", **kw):
        self.refusal, self.framing = refusal, framing
        self.accepts = accepts
        super().__init__(self._handle, **kw)

    def _handle(self, conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            if self.accepts(request):
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
                continue
            conn.send(answer(*self.refusal, self.framing))
            if self.framing == "close":
                return


def localhost(request):
    return request.get("host").startswith("localhost:")


def bare(request):
    return localhost(request) and request.get("x-forwarded-host") is None


def nothing(request):
    return not request


def private(edge, app, *options, box="box"):
    """Host of a private preview, and the fields that open it."""
    port = getattr(app, "port", app)
    made = json.loads(edge.command("preview", "create", box, port, "--bearer", "--json", *options))
    return edge.host(port, box), [f"X-Preview-Token: {made['token']}"]


def found(edge, app, box="box"):
    """The mode in force, as `preview list` shows it."""
    rows = json.loads(edge.command("preview", "list", "--json"))["previews"]
    (row,) = [row for row in rows if (row["box"], row["port"]) == (box, getattr(app, "port", app))]
    return row["host_header"], row.get("host_header_found")


def hosts(app):
    return [(localhost(request), request.get("x-forwarded-host") is not None) for request in app.requests]


PUBLIC, LOCALHOST, BARE = (False, True), (True, True), (True, False)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("name", REFUSALS)
def test_each_signature_leads_to_the_next_mode(edge, name, framing):
    """A navigation gets the page in one go; every other request uses what was found."""
    if name == "webpack4" and framing != "length":
        pytest.skip("only its length tells it from other pages with 200")
    with Picky(localhost, REFUSALS[name][:3], framing) as app:
        host, token = private(edge, app, "--host-header", "auto")
        assert edge.get(host, fields=token).status == REFUSALS[name][0]  # no navigation
        assert found(edge, app) == ("auto", None)
        page = edge.get(host, fields=[*NAVIGATION, *token])
        assert (page.status, page.body) == (200, b"fine")
        assert hosts(app) == [PUBLIC, PUBLIC, LOCALHOST]
        assert found(edge, app) == ("auto", "localhost")
        assert edge.get(host, method="POST", body=b"x", fields=token).status == 200
        edge.get(host, fields=[*HANDSHAKE, *token])
        assert hosts(app)[3:] == [LOCALHOST, LOCALHOST]
        assert "auto (localhost)" in edge.command("preview", "list")
        assert "localhost as its host, which its app asked for (auto)" in edge.command("explain", edge.url(host))


def test_both_versions_of_http_and_all_workers(make_edge):
    edge = make_edge(workers=2, kinds=("tls",))
    with Picky(bare) as app:
        host, token = private(edge, app, "--host-header", "auto")
        command = ["curl", "-sS", "--http2", "--cacert", edge.ca, "--resolve", f"{host}:{edge.port['tls']}:127.0.0.1",
                   "-H", NAVIGATION[0], "-H", token[0], edge.url(host)]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE * SLOW, check=True)
        assert done.stdout == b"fine"
        assert hosts(app) == [PUBLIC, LOCALHOST, BARE]
        for _ in range(8):  # each connection at another worker
            assert edge.get(host, kind="tls", fields=token).body == b"fine"
        assert hosts(app)[3:] == [BARE] * 8
        assert found(edge, app) == ("auto", "localhost-bare")


@pytest.mark.parametrize("name", REFUSALS)
def test_the_page_where_no_mode_works(edge, name):
    status, kind, body, remedy = REFUSALS[name]
    with Picky(nothing, (status, kind, body)) as app:
        host, token = private(edge, app, "--host-header", "auto")
        for _ in range(2):  # nothing is remembered: a server that was repaired answers at once
            page = edge.get(host, fields=[*NAVIGATION, *token])
            assert page.status == 403 and remedy in page.body.decode() and b"<b>" not in page.body
            assert "no requests for this host name" in page.body.decode()
        assert hosts(app) == [PUBLIC, LOCALHOST, BARE] * 2
        assert found(edge, app) == ("auto", None)
        assert edge.wait_for_line(reason="host_refused", status=403, timeout=3)
        app.accepts = lambda request: True
        assert edge.get(host, fields=[*NAVIGATION, *token]).body == b"fine"


@pytest.mark.parametrize("mode, page", [("auto", True), (None, False), ("public", False)])
def test_a_public_preview_switches_by_nothing(edge, mode, page):
    """Not by itself, not with auto, and not after it was private and a mode was found. Of a static box without a
    mode, as of one with public, the app's answer passes."""
    with Picky(localhost) as app:
        host, token = private(edge, app, "--host-header", "auto")
        assert edge.get(host, fields=[*NAVIGATION, *token]).body == b"fine"
        asked = len(app.requests)
        options = ["--host-header", mode] if mode else []
        edge.command("preview", "create", "box", app.port, "--public", *options)
        for fields in (NAVIGATION, [], HANDSHAKE):
            answer_ = edge.get(host, fields=fields)
            assert answer_.status == 403
            if fields == NAVIGATION:
                text = answer_.body.decode()
                assert ("preview update box" in text) is page and (text.startswith("Blocked request.")) is not page
        assert hosts(app)[asked:] == [PUBLIC] * 3
        assert found(edge, app) == (mode or "public", None)
        assert edge.get(host, fields=[*NAVIGATION, "X-Forwarded-Host: localhost"]).status == 403


def test_an_update_to_public_leaves_no_mode(edge):
    with Picky(localhost) as app:
        host, token = private(edge, app, "--host-header", "auto")
        assert edge.get(host, fields=[*NAVIGATION, *token]).body == b"fine"
        edge.command("preview", "update", "box", app.port, "--public")
        assert edge.get(host, fields=NAVIGATION).status == 403
        assert hosts(app)[-1] == PUBLIC and found(edge, app) == ("auto", None)


OTHERS = {
    "another text": (403, "text/plain", "Blocked request. This is mine."),
    "another type": (403, "application/json", VITE % ("x", "x")),
    "another status": (404, "text/plain", VITE % ("x", "x")),
    "behind a text": (403, "text/plain", "x" + VITE % ("x", "x")),
    "behind its place": (400, "text/html", "<!DOCTYPE html>" + " " * 1100 + "<title>DisallowedHost"),
    "more than the text": (403, "", "Invalid Host header."),
    "less than the text": (403, "", "Invalid Host heade"),
    "long": (403, "text/html", "<!DOCTYPE html>" + "y" * 300000),
    "empty": (403, "text/plain", ""),
}


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_answers_pass_unharmed(edge, name, framing):
    with Picky(nothing, OTHERS[name], framing) as app:
        host, token = private(edge, app, "--host-header", "auto")
        page = edge.get(host, fields=[*NAVIGATION, *token])
        assert (page.status, page.body.decode(), page.complete) == (OTHERS[name][0], OTHERS[name][2], True)
        assert hosts(app) == [PUBLIC]
        assert found(edge, app) == ("auto", None)


def test_an_answer_in_pieces_and_one_that_stalls(edge):
    """The first is recognised whole; the second passes after a second, while the app still holds its rest."""
    def app_(conn):
        whole = answer(*REFUSALS["vite"][:3])
        while (request := conn.read_request(timeout=3600)) is not None:
            if localhost(request):
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
            elif request.target == "/stall":
                conn.send(head_of(403, "text/plain", "Content-Length: 1000\r\n").encode() + b"Blocked")
            else:
                for byte in whole:
                    conn.send(bytes([byte]))

    with RawOrigin(app_) as app:
        host, token = private(edge, app, "--host-header", "auto")
        with edge.connect("plain", host) as client:
            client.send("\r\n".join(["GET /stall HTTP/1.1", f"Host: {host}", *NAVIGATION, *token, "", ""]).encode())
            assert b"Blocked" in client.read_until(b"Blocked", timeout=PATIENCE * SLOW)
        assert edge.get(host, fields=[*NAVIGATION, *token]).body == b"fine"


def test_a_response_that_breaks_off_stays_cut(edge):
    def app_(conn):
        if conn.read_request() is not None:
            conn.send(head_of(403, "text/plain", "Content-Length: 1000\r\n").encode() + b"Blocked")

    with RawOrigin(app_) as app:
        host, token = private(edge, app, "--host-header", "auto")
        page = edge.get(host, fields=[*NAVIGATION, *token])
        assert page.status == 403 and not page.complete


def test_the_live_channel_of_next(edge):
    """Next.js serves its page under any host, but ends the handshake of its channel with a bare word."""
    def app_(conn):
        request = conn.read_request()
        if not bare(request):
            conn.send(b"Unauthorized")
        else:
            conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")

    with RawOrigin(app_) as app:
        host, token = private(edge, app, "--host-header", "auto")
        other = edge.get(host, "/chat", fields=[*HANDSHAKE, *token])
        assert (other.status, len(app.requests)) == (502, 1)
        assert edge.get(host, "/_next/hmr?id=1", fields=[*HANDSHAKE, *token]).status == 101
        assert hosts(app)[1:] == [PUBLIC, BARE]
        assert "detail" not in edge.wait_for_line(path="/_next/hmr?id=1", status=101)
        assert found(edge, app) == ("auto", "localhost-bare")
        edge.command("preview", "create", "box", app.port, "--public", "--host-header", "auto")
        assert edge.get(host, "/_next/hmr?id=1", fields=HANDSHAKE).status == 502


APP = """
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.headers["Host"].startswith("localhost:")
        text = b"fine" if ok else b'Blocked request. This host ("x") is not allowed.'
        self.send_response(200 if ok else 403)
        self.send_header("Content-Type", "text/plain"); self.send_header("Content-Length", str(len(text)))
        self.end_headers(); self.wfile.write(text)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"""


def test_the_default_of_process_boxes_and_their_generations(make_edge):
    """Private previews of process boxes are auto without a word; a new generation forgets. Public ones get the page."""
    port = PORTS.take()
    edge = make_edge(workers=2, kinds=("plain",), config={"processes": [{
        "id": "dev", "command": [sys.executable, "-S", "-c", APP], "directory": "/", "ports": [port],
        **({"user": "nobody"} if os.getuid() == 0 else {})}]})
    host, token = private(edge, port, box="dev")
    assert found(edge, port, "dev") == ("auto", None)
    assert edge.get(host, fields=[*NAVIGATION, *token], timeout=PATIENCE * SLOW).body == b"fine"
    assert found(edge, port, "dev") == ("auto", "localhost")
    edge.command("box", "stop", "dev")
    assert edge.get(host, fields=token, timeout=PATIENCE * SLOW).status == 403
    assert found(edge, port, "dev") == ("auto", None)
    assert edge.get(host, fields=[*NAVIGATION, *token]).body == b"fine"
    edge.command("preview", "update", "dev", port, "--public")
    assert found(edge, port, "dev") == ("public", None)
    page = edge.get(host, fields=NAVIGATION)
    assert page.status == 403 and f"preview update dev {port} --host-header localhost" in page.body.decode()
    edge.command("preview", "update", "dev", port, "--host-header", "public")
    assert edge.get(host, fields=NAVIGATION).body.startswith(b"Blocked request.")


def test_other_boxes_have_no_auto_by_default(edge):
    with HttpOrigin() as app:
        private(edge, app)
        assert found(edge, app) == ("public", None)
