"""The status page: through its link in a browser, and what the link refuses. BOXEDGE_SCREENSHOTS makes
pictures in that folder; BOXEDGE_LINGER gives the charts in them so many points."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import threading

import pytest

from acts import browse
from admin_api import Admin
from api_world import API, api_config
from harness import BINARY, PATIENCE, PORTS, SLOW, Edge, HttpOrigin, Lines
from sleepers import Sleepers
from test_chromium import pytestmark as needs_chromium
from waits_clients import LONG

CHARTS = ["Requests", "Failed requests", "Time to answer", "Wakes of boxes", "Open", "Refused by limits"]
ERRORS = ["preview_not_found", "bad_request", "key_required"]
TABLES = ["Errors by code", "Refusals by limit", "Boxes by state", "Processes", "Upstream servers", "Recent requests"]


class Link:
    """`boxedge status --open`."""

    def __init__(self, edge):
        self.process = subprocess.Popen(
            [str(BINARY), "status", "--open", "-c", str(edge.config_path)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=edge.env)
        self.stderr = Lines(self.process.stderr)
        self.url = Lines(self.process.stdout).wait_for(lambda line: line.startswith("http://"))
        self.host, self.path = re.fullmatch(r"http://(127\.0\.0\.1:\d+)(/open/[0-9a-f]{32})", self.url).groups()

    def ask(self, target, method="GET", host=None, cookie=None, body=None):
        """Status, fields and body."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE * SLOW)
        fields = {"Host": host or self.host, **({"Cookie": cookie} if cookie else {})}
        with contextlib.closing(connection):
            connection.request(method, target, body, fields)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    def sign_in(self):
        status, fields, _ = self.ask(self.path)
        assert (status, fields["Location"]) == (303, "/status")
        return fields["Set-Cookie"].split(";")[0]

    def end(self):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(PATIENCE * SLOW) == 0
        self.stderr.join(PATIENCE)
        assert self.stderr.lines == []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class World:
    """An edge with a box of a control plane and an API, one of whose servers is not there."""

    def __init__(self, directory):
        self.sleepers, self.server = Sleepers(), HttpOrigin()
        self.edge = Edge(directory / "edge", workers=2, kinds=("plain",), config={
            **self.sleepers.config, **api_config([self.server.port, PORTS.take()])})
        self.home = directory
        self.shots = os.environ.get("BOXEDGE_SCREENSHOTS")
        self.load, self.over = None, threading.Event()

    def start_load(self):
        """Requests until stop_load, of which some fail."""
        box = self.sleepers.add("sleeper-1", ready=True)
        host = self.edge.create_preview(box.port, box.id)

        def run():
            while not self.over.is_set():
                self.edge.get(host, "/<b>&?a=1", fields=["User-Agent: <script>"])
                self.edge.get(self.edge.host(3000, "nobody"))
                self.edge.get(API, "/v2/echo")
                self.edge.get(host, "/bad", fields=["Content-Length: x"])

        self.load = threading.Thread(target=run)
        self.load.start()

    def stop_load(self):
        self.over.set()
        self.load.join(LONG)

    def close(self):
        if self.load is not None:
            self.stop_load()
        self.edge.close()
        self.server.close()
        self.sleepers.close()


@pytest.fixture
def world(tmp_path):
    running = World(tmp_path)
    yield running
    running.close()


@needs_chromium
def test_the_page_in_a_browser(world):
    edge = world.edge

    def stop():
        world.stop_load()
        edge.stop()

    with Link(edge) as link:
        seen = browse("status.mjs", {"link": link.url, "origin": f"http://{link.host}", "shots": world.shots,
                                     "box": "sleeper-1", "errors": ERRORS, "linger": int(os.environ.get("BOXEDGE_LINGER", "0"))}, world.home,
                      {"load": world.start_load, "stop": stop, "start": edge.start, "end": link.end})
    assert seen["problems"] == []
    assert (seen["status"], seen["url"]) == (200, f"http://{link.host}/status")
    assert [heading for heading in seen["headings"] if heading != "Needs attention"] == ["boxedge status", *CHARTS, *TABLES]
    assert "No requests in this time" in seen["empty"] and "No failed requests in this time" in seen["empty"]
    assert any("has answered no request with an error" in text for text in seen["empty"])
    # Nothing is wider than its screen.
    for name, width in seen["shapes"].items():
        assert width <= {"desktop": 1280, "phone": 390, "narrow": 360}[name.split()[1]], name
    assert {row[0] for row in seen["errors"]} >= set(ERRORS), seen["errors"]
    assert [row[:2] for row in seen["boxes"]] == [["running", "2"], ["paused", "0"], ["gone", "0"]]
    assert [row[0] for row in seen["processes"]] == ["controller", "worker 0", "worker 1"]
    assert len(seen["servers"]) == 2 and all(row[0].startswith("api / 127.0.0.1:") for row in seen["servers"])
    assert seen["label"].startswith("Chart of the last ")
    # A search finds a box and a request; what strangers sent is text.
    assert seen["ofBox"] and all("box sleeper-1" in line for line in seen["ofBox"])
    assert any("/<b>&?a=1" in line for line in seen["ofBox"])
    assert len(seen["ofId"]) == 1 and seen["ofId"][0] == seen["ofBox"][0]
    assert seen["ofNobody"] == seen["ofText"] == [] and seen["elements"] == ["B", "SMALL"]
    assert seen["hovered"].startswith("at ")
    assert "the edge does not answer" in seen["lost"] and "nothing serves this page" in seen["ended"]


@pytest.fixture
def link(edge):
    with Link(edge) as running:
        yield running


def test_the_link_works_once(link):
    status, _, text = link.ask("/status")
    assert status == 403 and "boxedge status --open" in text
    assert link.ask("/open/" + "0" * 32)[0] == 404
    assert link.ask(link.path, "HEAD")[0] == 200  # does not use it up
    status, fields, _ = link.ask(link.path)
    assert status == 303 and fields["Cache-Control"] == "no-store" and fields["Referrer-Policy"] == "no-referrer"
    cookie, *attributes = fields["Set-Cookie"].split("; ")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
    assert re.fullmatch(r"boxedge_status_\d+=[0-9a-f]{32}", cookie) and link.path[-32:] not in cookie
    status, fields, text = link.ask(link.path)
    assert status == 410 and "once" in text and "Set-Cookie" not in fields
    assert link.ask(link.path, cookie=cookie)[0] == 410
    status, fields, text = link.ask("/status", cookie="a=b; " + cookie)
    assert status == 200 and "<h1>boxedge status</h1>" in text and "{{" not in text
    assert "boxedge_requests_total" in link.ask("/metrics", cookie=cookie)[2]
    assert link.ask("/status", cookie=cookie[:-1])[0] == 403
    link.end()


def test_the_link_changes_nothing(edge, link):
    """Nor does it show anything but what the page needs, or to a name that was made to resolve to this machine."""
    cookie = link.sign_in()
    host = edge.create_preview(3000)
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        status, fields, _ = link.ask("/v1/previews/box/3000", method, cookie=cookie, body="{}")
        assert (status, fields["Allow"]) == (405, "GET, HEAD"), method
        assert link.ask("/metrics", method, cookie=cookie)[0] == 405
    for target in ("/v1/previews", "/v1/keys", "/v1/blocks", "/v1/boxes/box/log", "/v1/explain?host=a", "/v1/messages",
                   "/", "/v1/status/", "/v1//status", "/metrics/../v1/keys", "/v1/requests/x"):
        assert link.ask(target, cookie=cookie)[0] == 404, target
    port = link.host.split(":")[1]
    for name in (f"evil.test:{port}", f"localhost:{port}", "127.0.0.1", "127.0.0.1:1", host):
        status, fields, text = link.ask("/metrics", cookie=cookie, host=name)
        assert status == 421 and "boxedge_" not in text, name
    assert link.ask("/v1/status", cookie=cookie)[0] == 200
    assert link.ask("/v1/boxes?count=state", cookie=cookie)[2].startswith('{"states":')
    assert link.ask("/v1/recent?find=box", cookie=cookie)[2].startswith('{"lines":')
    edge.command("preview", "delete", "box", "3000")


def test_an_edge_that_does_not_run(make_edge):
    edge = make_edge(start=False)
    edge.write_config()
    done = edge.command("status", "--open", check=False)
    assert done.returncode == 1 and "the edge is not running" in done.stderr and done.stdout == ""


def test_the_page_on_the_admin_socket(edge):
    with contextlib.closing(Admin(edge.admin_socket)) as admin:
        status, fields, page = admin.call("GET", "/status")
        assert status == 200 and fields["Content-Type"] == "text/html; charset=utf-8"
        policy = fields["Content-Security-Policy"]
        nonce = re.search(r"script-src 'nonce-([0-9a-f]{32})'", policy)[1]
        assert f'<script nonce="{nonce}">'.encode() in page and page.count(b"<script") == 1
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        # Text of the edge, of hosts or of boxes never becomes markup.
        assert not re.search(rb"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?://(?!www\.w3\.org/2000/svg)", page)
        assert admin.call("GET", "/status")[1]["Content-Security-Policy"] != policy
        assert admin.call("POST", "/status", {})[0] == 405
        assert admin.call("GET", "/v1/boxes?count=state")[2] == {"states": {"running": 1, "paused": 0, "gone": 0}}
        assert admin.call("GET", "/v1/boxes?count=all")[0] == 400
