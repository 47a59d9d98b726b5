"""The page for an unreachable app, on a phone's screen in a real browser: words stay whole, and it opens the
app by itself once that is back. BOXEDGE_SCREENSHOTS keeps the picture in that folder."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from harness import PATIENCE, PORTS, SLOW, Lines, RawOrigin
from test_chromium import HERE, pytestmark as needs_chromium

# failure_details, and whether readers of a public and of a private preview get the details.
DETAILS = [({}, True, True), ({"failure_details": "everyone"}, True, True),
           ({"failure_details": "authenticated"}, False, True), ({"failure_details": "nobody"}, False, False)]

NODE_ERROR = "Error: listen EADDRINUSE: address already in use"
BOX = "sweet-shark-with-a-long-name-26021"


def navigate(edge, host):
    return edge.get(host, fields=["Sec-Fetch-Mode: navigate"])


def serve(port):
    """An app on this port, in a separate process."""
    code = ("import http.server as h, sys\n"
            "class H(h.BaseHTTPRequestHandler):\n"
            "  def do_GET(self):\n"
            "    self.send_response(200); self.send_header('Content-Type', 'text/html'); self.end_headers()\n"
            "    self.command == 'HEAD' or self.wfile.write(b'<p>here again')\n"
            "  do_HEAD = do_GET\n"
            "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n")
    return subprocess.Popen([sys.executable, "-c", code, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@needs_chromium
def test_on_a_phone_and_back_again(make_edge, tmp_path):
    port = PORTS.take()
    edge = make_edge(workers=1, kinds=("plain",), boxes=[{"id": BOX, "address": "127.0.0.1"}])
    host = edge.create_preview(port, BOX)
    shots = pathlib.Path(os.environ.get("BOXEDGE_SCREENSHOTS", tmp_path))
    command = ["node", str(HERE / "failing.mjs"), edge.url(host, kind="plain"), str(tmp_path / "profile"),
               str(shots / "failure.png")]
    app = None
    with subprocess.Popen(command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "HOME": str(tmp_path)}) as browser:
        try:
            lines = Lines(browser.stdout, json.loads)
            shown = lines.wait_for(lambda line: "status" in line, PATIENCE * SLOW)
            assert shown["status"] == 502 and shown["width"] <= 360
            assert shown["broken"] == [] and shown["problems"] == []
            assert "Nothing listens on this port" in shown["text"] and "0.0.0.0" not in shown["text"]
            assert host.split(".", maxsplit=1)[0] in shown["text"]
            app = serve(port)
            assert "here again" in lines.wait_for(lambda line: "status" not in line, PATIENCE * SLOW)["text"]
            assert browser.wait(PATIENCE * SLOW) == 0
        finally:
            browser.kill()
            if app is not None:
                app.kill()
                app.wait()


def test_looking_again_wakes_nothing(make_edge):
    """The page asks with HEAD and X-Box-No-Wake, under a policy that allows its script that request and no
    other."""
    edge = make_edge(workers=1, kinds=("plain",))
    page = navigate(edge, edge.create_preview(PORTS.take()))
    policy = page.get("content-security-policy")
    assert b"X-Box-No-Wake" in page.body and b"HEAD" in page.body
    assert "connect-src 'self'" in policy and "script-src 'nonce-" in policy


# Serves on two ports; a request to the second ends the first, with Node's message about it.
TWO_SERVERS = """
import http.server, sys, threading
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.server is second:
            first.shutdown(); first.server_close()
            print("Error: listen EADDRINUSE: address already in use\\n    at listen {\\n  code: 1\\n}", flush=True)
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
first, second = (http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), H) for port in sys.argv[1:])
threading.Thread(target=first.serve_forever).start()
second.serve_forever()
"""


@pytest.mark.parametrize("details, public, private", DETAILS)
def test_a_process_box_has_a_log(make_edge, details, public, private):
    """Its command runs and listens elsewhere now: the page shows the port and the line with the error to
    readers that failure_details admits, and the place to read on."""
    port, other = PORTS.take(), PORTS.take()
    edge = make_edge(workers=1, kinds=("plain",), config={**details, "processes": [{
        "id": "dev", "command": [sys.executable, "-S", "-c", TWO_SERVERS, str(port), str(other)], "directory": "/",
        "ports": [port, other], **({"user": "nobody"} if os.getuid() == 0 else {})}]})
    here, there = edge.create_preview(port, "dev"), edge.create_preview(other, "dev")
    assert edge.get(here).status == 200
    assert edge.get(there).status == 200
    listens = f"Listening in the box: port {other}. The last line of its log: {NODE_ERROR}."

    def check(said, *fields):
        answer = edge.get(here, fields=[*fields])
        assert answer.status == 502
        body = json.loads(answer.body)
        assert (body["code"], body.get("detail")) == ("port_not_listening", listens if said else None)
        page = edge.get(here, fields=[*fields, "Sec-Fetch-Mode: navigate"]).body.decode()
        assert "boxedge box logs dev" in page and "0.0.0.0" not in page and (listens in page) == said

    check(public)
    token = json.loads(edge.command("preview", "create", "dev", port, "--bearer", "--json"))["token"]
    check(private, f"X-Preview-Token: {token}")


# Serves; prints an error and closes the connection without an answer, or ends.
CLOSER = """
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/":
            print("ready")
            print("TypeError: cannot read " + self.path + "\\n    at main {\\n  code: 1\\n}", flush=True)
            if self.path == "/end":
                os._exit(1)
            self.close_connection = True
            return
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


@pytest.mark.parametrize("details, said", [({}, True), ({"failure_details": "nobody"}, False)])
@pytest.mark.parametrize("path", ["/close", "/end"])
def test_a_process_box_that_closes_says_why(make_edge, details, said, path):
    """Also if its process ends with the connection."""
    port = PORTS.take()
    edge = make_edge(workers=1, kinds=("plain",), config={**details, "processes": [{
        "id": "dev", "command": [sys.executable, "-S", "-c", CLOSER, str(port)], "directory": "/", "ports": [port],
        **({"user": "nobody"} if os.getuid() == 0 else {})}]})
    host = edge.create_preview(port, "dev")
    line = f"The last line of its log: TypeError: cannot read {path}."
    assert edge.get(host).status == 200
    body = json.loads(edge.get(host, path).body)
    assert (body["code"], body.get("detail")) == ("origin_closed", line if said else None)
    edge.wait_until(lambda: edge.get(host).status == 200)  # the edge learns of an end a moment after its connection closed
    page = edge.get(host, path, fields=["Sec-Fetch-Mode: navigate"]).body.decode()
    assert "boxedge box logs dev" in page and (line in page) == said


def test_what_is_reserved_says_so(make_edge):
    edge = make_edge(workers=1, kinds=("plain",))
    with RawOrigin() as origin:
        response = edge.get(edge.create_preview(origin), "/.well-known/boxedge/nothing")
        assert response.status == 404 and not origin.connections
        assert "belong to the edge" in json.loads(response.body)["error"]
        page = edge.get(edge.host(origin), "/.well-known/boxedge/nothing", fields=["Sec-Fetch-Mode: navigate"])
        assert b"<h1>There is nothing at this address</h1>" in page.body


def failing_box(make_edge, details):
    """An edge with a box that ends with such output, and its port."""
    port = PORTS.take()
    script = f"printf '{NODE_ERROR}\\n    at listen {{\\n  code: 1\\n}}\\n\\nNode.js v20.1.0\\n'; exit 1"
    return make_edge(workers=1, kinds=("plain",), config={**details, "processes": [{
        "id": "dev", "command": ["/bin/sh", "-c", script], "directory": "/", "ports": [port],
        **({"user": "nobody"} if os.getuid() == 0 else {})}]}), port


@pytest.mark.parametrize("details, public, private", DETAILS)
def test_a_failed_start_says_the_error(make_edge, details, public, private):
    """From Node's output, the sentence with the error, and not the brace behind it, for readers that
    failure_details admits."""
    edge, port = failing_box(make_edge, details)
    host = edge.host(port, "dev")

    def check(said, *fields):
        error = json.loads(edge.get(host, fields=[*fields]).body)["error"]
        assert error.endswith(f"exit status 1. Its last line: {NODE_ERROR}." if said else "exit status 1.")
        page = edge.get(host, fields=[*fields, "Sec-Fetch-Mode: navigate"])
        assert page.status == 503 and "exit status 1" in page.body.decode()
        assert (NODE_ERROR in page.body.decode()) == said and "boxedge box logs dev" in page.body.decode()

    token = json.loads(edge.command("preview", "create", "dev", port, "--bearer", "--json"))["token"]
    check(private, f"X-Preview-Token: {token}")
    assert NODE_ERROR not in edge.get(host).body.decode()  # without credentials: no line, with any value
    edge.command("preview", "create", "dev", port, "--public")
    check(public)
