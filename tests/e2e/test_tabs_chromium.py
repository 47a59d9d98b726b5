"""A forgotten tab in a real browser: its page reconnects by itself, and its box still sleeps; a click, or
loading the page again, wakes it."""

import json
import os
import shutil

import pytest

from acts import browse
from harness import PATIENCE, PORTS, SLOW, Edge
from test_chromium import HERE, pytestmark, trusting_home  # noqa: F401 (the mark skips these tests too)

# Idle times in which the tab is observed.
TIMES = 10


def user():
    return {"user": "nobody"} if os.geteuid() == 0 else {}


@pytest.fixture(name="app")
def fixture_app(tmp_path_factory):
    """tab_app.mjs with its packages, readable for the user that runs boxes."""
    directory = tmp_path_factory.mktemp("app")
    place = f"/tmp/boxedge-tab-{os.getpid()}-{directory.name}"
    shutil.copytree(HERE / "node_modules", f"{place}/node_modules", symlinks=True)
    shutil.copy(HERE / "tab_app.mjs", place)
    yield place
    shutil.rmtree(place)


class Tab:
    def __init__(self, directory, kind, app):
        port, clock = PORTS.take(), PORTS.take()
        boxes = [{"id": "app", "command": ["node", f"{app}/tab_app.mjs", kind, str(port), f"{app}/node_modules"],
                  "directory": "/", "ports": [port], "idle": "200ms", "environment": ["TMPDIR=/tmp", "HOME=/tmp"], **user()},
                 {"id": "clock", "command": ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", str(clock)],
                  "directory": "/", "ports": [clock], "idle": "200ms",
                  **user()}]
        self.edge = Edge(directory, workers=2, config={"processes": boxes, "wake": {"idle_open": "500ms",
                                                                                  "page_after": "0ms"}})
        self.host = self.edge.create_preview(port, "app")
        self.clock = self.edge.create_preview(clock, "clock")
        self.home = trusting_home(directory, self.edge.ca)

    def states(self):
        return {box["box"]: box["state"] for box in json.loads(self.edge.command("box", "list", "--json"))["boxes"]}

    def starts(self):
        return self.edge.command("box", "logs", "app", "-n", "100000").count(": started as process")

    def wait_asleep(self):
        self.edge.wait_until(lambda: self.states()["app"] == "paused", PATIENCE * SLOW, "the box's sleep")

    def idle_time(self):
        """One passes: a box that is used only at its beginning is paused at its end."""
        assert self.edge.get(self.clock).status == 200
        self.edge.wait_until(lambda: self.states()["clock"] == "paused", PATIENCE * SLOW, "the end of an idle time")

    def leave_open(self):
        self.wait_asleep()
        before = self.starts()
        for _ in range(TIMES):
            self.idle_time()
        self.wakes = self.starts() - before
        self.asleep = self.states()["app"] == "paused"

    def asleep_once(self):
        self.awake = self.starts()
        self.wait_asleep()

    def browse(self, acts):
        return browse("tab.mjs", {"url": self.edge.url(self.host), "patience": PATIENCE * SLOW * 1000}, self.home, acts)


@pytest.mark.parametrize("kind", ["plain", "socketio", "vite"])
def test_a_forgotten_tab_lets_its_box_sleep(tmp_path, kind, app):
    package = {"plain": "ws", "socketio": "socket.io", "vite": "vite"}[kind]
    if not (HERE / "node_modules" / package).is_dir():
        pytest.skip(f"{package} is not there")
    tab = Tab(tmp_path, kind, app)
    with tab.edge:
        seen = tab.browse({"open": tab.leave_open, "clicked": tab.asleep_once, "reloaded": lambda: None})
        # It may have reloaded itself: then it is a page from which a person wakes the box.
        assert seen.get("heading") in (None, "This box is asleep")
        assert tab.wakes <= 1 and tab.asleep, tab.wakes  # of ten idle times, it slept in nine
        assert tab.starts() > tab.awake  # the reload woke it once more
