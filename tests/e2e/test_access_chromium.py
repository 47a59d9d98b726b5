"""Signing in to previews with a real browser. BOXEDGE_SCREENSHOTS keeps the pictures in that folder."""

import http.server
import json
import os
import pathlib
import subprocess
import threading

import pytest

from access_table import COOKIE
from access_world import Made
from harness import BINARY, PATIENCE, PORTS, SLOW, Edge, HttpOrigin
from links_world import COOKIE as LINK_COOKIE
from links_world import Link
from quiet_network import without_netlink
from test_chromium import HERE, pytestmark, trusting_home  # noqa: F401 (the mark skips these tests too)


class Framer(http.server.BaseHTTPRequestHandler):
    """Another site: a page with a frame of the URL in its query."""

    def do_GET(self):
        page = f'<!doctype html><title>elsewhere</title><iframe name="one" style="width:100%;height:900px" src="{self.path[2:]}"></iframe>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_):
        pass


class World:
    def __init__(self, directory):
        self.directory = directory
        self.edge = Edge(directory / "edge", workers=2)
        self.site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Framer)
        threading.Thread(target=self.site.serve_forever, daemon=True).start()
        self.framer = f"http://elsewhere.test:{self.site.server_port}"
        self.apps = {kind: PORTS.take() for kind in ("bearer", "both", "basic", "allowed")}
        self.processes = [subprocess.Popen([str(BINARY), "demo-app", "--port", str(port)], stdin=subprocess.DEVNULL)
                          for port in self.apps.values()]
        self.attacker = HttpOrigin()
        self.edge.create_preview(self.attacker)
        self.made = {kind: Made(self.edge, "box", port, "bearer" if kind == "allowed" else kind,
                                *(["--allow-origin", self.framer] if kind == "allowed" else []))
                     for kind, port in self.apps.items()}
        self.home = trusting_home(directory, self.edge.ca)
        self.shots = pathlib.Path(os.environ.get("BOXEDGE_SCREENSHOTS", directory))

    def url(self, kind):
        return f"https://{self.edge.host(self.apps[kind])}:{self.edge.port['tls']}"

    def run(self, run, **plan):
        plan |= {"run": run, "shots": str(self.shots), "bearer": self.url("bearer"), "both": self.url("both"),
                 "basic": self.url("basic"), "allowed": self.url("allowed"),
                 "attacker": f"https://{self.edge.host(self.attacker)}:{self.edge.port['tls']}/"}
        done = subprocess.run(["node", "access.mjs", json.dumps(plan)], cwd=HERE, capture_output=True, text=True,
                              timeout=60 * SLOW, check=False, env={**os.environ, "HOME": str(self.home)},
                              preexec_fn=without_netlink)
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout.splitlines()[-1])
        assert seen.pop("problems") == []
        return seen

    def close(self):
        self.edge.close()
        self.attacker.close()
        self.site.shutdown()
        for process in self.processes:
            process.terminate()
            assert process.wait(PATIENCE) == 0


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    running = World(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


def test_signing_in_and_out(world):
    seen = world.run("signin", token=world.made["bearer"].token)
    assert (seen["asked"], seen["wrong"], seen["right"], seen["reloaded"]) == (401, 401, 303, 200)
    assert "Box box" in seen["names"] and f"port {world.apps['bearer']}" in seen["names"]
    assert seen["focused"] == "token" and "replaced" in seen["why"]
    assert seen["works"] and seen["worksAgain"], "events, WebSocket and XHR after signing in"
    assert seen["scripts"] == "" and seen["after"] == 1 and seen["cookies"] == 0
    cookie = seen["cookie"]
    assert (cookie["name"], cookie["path"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (
        COOKIE, "/", True, True, "None")
    assert not cookie["domain"].startswith(".")


def test_a_link_with_the_token(world):
    seen = world.run("link", token=world.made["bearer"].token)
    assert seen["status"] == 200 and seen["works"]
    assert seen["url"] == seen["back"] == world.url("bearer") + "/?x=1&y=2"


def test_the_fragment_stays(world):
    seen = world.run("fragment", token=world.made["bearer"].token)
    assert seen == {"wrong": 401, "right": 303, "form": "/?a=1#part/2", "link": "/?b=2#three", "none": "/?c"}


def test_the_page_on_phones_and_in_the_dark(world):
    assert world.run("looks") == {"phone": 0, "dark": 0, "phonedark": 0}, "nothing stands out of the window"


def test_without_script_and_with_a_password(world):
    made = world.made["both"]
    assert world.run("noscript", user=made.user, password=made.password) == {"status": 200, "title": "boxedge demo"}


def test_the_browsers_own_question(world):
    made = world.made["basic"]
    assert world.run("basic", user=made.user, password=made.password) == {"status": 200, "works": True, "session": 1}


def test_inside_a_frame_of_another_site(world):
    seen = world.run("frame", token=world.made["allowed"].token, framer=f"{world.framer}/?{world.url('allowed')}/")
    assert (seen["wrong"], seen["right"]) == (401, 303)
    assert seen["works"] and seen["worksAgain"] and seen["outside"] == 401


def test_a_frame_that_is_not_allowed_offers_a_tab(world):
    seen = world.run("foreign", framerOfBearer=f"{world.framer}/?{world.url('bearer')}/inside")
    assert seen == {"forms": 0, "tab": world.url("bearer") + "/inside"}


def test_what_another_preview_can_do_with_the_session(world):
    start = len(world.edge.access.lines)
    seen = world.run("neighbour", token=world.made["bearer"].token)
    assert seen["tries"] == {"get": "failed", "nocors": "opaque 0", "post": "opaque 0", "websocket": "failed",
                             "image": "failed"}
    assert seen["still"] == 200
    lines = world.edge.wait_for_line(lambda line: "neighbour" in line["path"], start=start, count=5)
    assert [line["reason"] for line in lines] == ["cross_site"] * 5


def test_links(world):
    port = world.apps["bearer"]
    once, fresh, reading = (Link(world.edge, "box", port, *options) for options in (
        ["--once", "--path", "/?once", "--label", "The draft, for review"], ["--once"], ["--read-only"]))
    seen = world.run("once", once=once.url.geturl(), fresh=fresh.url.geturl(), reading=reading.url.geturl(),
                     token=world.made["bearer"].token)
    assert seen["asked"] == 200 and "opens once" in seen["text"] and "The draft, for review" in seen["text"]
    assert not seen["wide"] and seen["works"] and once.secret not in seen["referrer"]
    assert seen["cookies"] == [LINK_COOKIE] and seen["scripts"] == ""
    assert seen["again"] == world.url("bearer") + "/?once" and seen["second"] == 404
    assert seen["used"] == "This link opens nothing"
    assert seen["owner"] and seen["owned"] == [COOKIE]
    assert (seen["read"], seen["written"], seen["socket"]) == (200, 405, "refused")
    assert (once.shown()["opened"], fresh.shown()["opened"], reading.shown()["opened"]) == (1, 0, 1)
