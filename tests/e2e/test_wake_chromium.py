"""The waiting page in a real browser. BOXEDGE_SCREENSHOTS keeps the pictures in that folder."""

import contextlib
import os
import pathlib
import shutil
import tempfile

import pytest

from acts import browse
from access_world import Made
from harness import BINARY, PORTS, SLOW, Edge
from sleepers import Sleepers
from test_chromium import pytestmark, trusting_home  # noqa: F401 (the mark skips these tests too)


class World:
    def __init__(self, directory):
        self.directory = directory
        self.sleepers = Sleepers()
        self.demo_port = PORTS.take()
        # Another user runs it, who may not read the folders of this one.
        self.place = tempfile.TemporaryDirectory()
        os.chmod(self.place.name, 0o755)
        app = shutil.copy(BINARY, self.place.name)
        demo = {"id": "demo-1", "command": [app, "demo-app", "--port", str(self.demo_port), "--delay", "300"],
                "directory": "/", "ports": [self.demo_port], **({"user": "nobody"} if os.getuid() == 0 else {})}
        self.edge = Edge(directory / "edge", workers=2, config={
            **self.sleepers.config, "processes": [demo],
            "wake": {"page_after": f"{400 * SLOW}ms", "timeout": "5m"}})
        self.home = trusting_home(directory, self.edge.ca)
        self.shots = pathlib.Path(os.environ.get("BOXEDGE_SCREENSHOTS", directory))

    @contextlib.contextmanager
    def page_after(self, time):
        before, wake = self.edge.config["wake"]["page_after"], self.edge.config["wake"]
        try:
            wake["page_after"] = time
            self.edge.write_config()
            self.edge.command("reload")
            yield
        finally:
            wake["page_after"] = before
            self.edge.write_config()
            self.edge.command("reload")

    def add(self, box_id, **how):
        """A box with a public preview; its URL is `url`."""
        box = self.sleepers.add(box_id, **how)
        box.host = self.edge.create_preview(box.port, box_id)
        box.url = f"https://{box.host}:{self.edge.port['tls']}/"
        return box

    def lines(self, box, **equal):
        return [line for line in self.edge.access.lines if line.get("box") == box.id
                and all(line.get(k) == v for k, v in equal.items())]

    def run(self, run, acts=None, **plan):
        """The browser's report; `acts` run when it announces their point."""
        plan |= {"run": run, "shots": str(self.shots)}
        seen = browse("waking.mjs", plan, self.home, acts or {})
        assert seen.pop("problems") == []
        return seen

    def close(self):
        self.edge.close()
        self.sleepers.close()
        self.place.cleanup()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    running = World(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


def test_a_slow_wake(world):
    box = world.add("slow")
    url = box.url + "deep/er?a=1&b=%20#there"
    seen = world.run("slow", {"resuming": box.resume, "starting": box.listen}, url=url)
    assert seen["status"] == 503 and seen["heading"] == "Waking this box" and "Box slow" in seen["names"]
    assert "Resuming" in seen["first"] and f"port {box.port}" in seen["said"] and seen["step"] == "step"
    # The app took the page's place: the same address, and no entry to go back to.
    assert (seen["url"], seen["history"], seen["documents"]) == (url, 2, [503, 200])
    assert [path for _, path, _ in box.requests] == ["/deep/er?a=1&b=%20"]
    assert box.resumes == 1
    (page,) = world.lines(box, wake="page")
    assert page["status"] == 503 and page["reason"] == "waking" and page["wake_ms"] >= 399


def test_a_quick_wake_shows_no_page(world):
    box = world.add("quick", ready=True)
    seen = world.run("quick", url=box.url)
    assert (seen["status"], seen["documents"]) == (200, [200])
    assert seen["timing"] == [["app", True], ["resume", True], ["listen", True], ["origin", True]]
    assert box.resumes == 1
    world.edge.wait_for_line(box="quick", wake="ok", status=200)


def test_the_demo_page_says_how_long_the_wake_took(world):
    # No waiting page may come in between, however slow the machine is.
    world.edge.create_preview(world.demo_port, "demo-1")
    url = f"https://{Edge.host(world.demo_port, 'demo-1')}:{world.edge.port['tls']}/"
    with world.page_after("1m"):
        seen = world.run("demo", url=url)
    assert seen["status"] == 200 and not seen["again"]
    took = seen["timing"]["resume"] + seen["timing"]["listen"]
    assert took >= 300 and f"Waking it took {took / 1000:.2f} s" in seen["woke"], seen


def test_without_script(world):
    box = world.add("plain")

    def wake():
        box.resume()
        box.listen()

    seen = world.run("noscript", {"waiting": wake}, url=box.url)
    assert seen["status"] == 503 and "reloads every few seconds" in seen["note"]
    assert seen["documents"][-1] == 200 and box.resumes == 1


def test_a_wake_that_fails(world):
    box = world.add("broken")

    def repair():
        box.works_again()
        box.listen()

    seen = world.run("failed", {"waiting": box.fail, "failed": repair}, url=box.url)
    assert seen["status"] == 503 and seen["heading"] == seen["title"] == "This box did not wake"
    assert seen["why"] == seen["told"] == "The control plane refuses this." and not seen["waiting"]
    assert seen["early"][0] == "true" and seen["early"][1].startswith("Try again in ")
    assert seen["meanwhile"] == 503 and seen["countdown"]
    assert seen["documents"] == [503, 200]
    assert box.resumes == 2


def test_signing_in_to_a_box_that_sleeps(world):
    box = world.sleepers.add("private")
    made = Made(world.edge, "private", box.port, "bearer")
    url = f"https://{world.edge.host(box.port, 'private')}:{world.edge.port['tls']}/in?x=1"
    seen = world.run("signin", {"resuming": box.resume, "starting": box.listen}, url=url, token=made.token)
    assert (seen["asked"], seen["url"]) == (401, url)
    assert box.resumes == 1
    assert not any("__Host-boxedge" in value for _, _, fields in box.requests for value in fields.values())
    assert world.lines(box, path="/.well-known/boxedge/wake", status=200)


def test_other_events(world):
    box = world.add("odd")
    box.resume()  # and never listens
    seen = world.run("events", url=box.url)
    assert seen["asleep"] == ["The box is asleep, and no request is waking it.", "Try again"]
    assert len(seen["apart"]) == 2 and min(seen["apart"]) >= 999


def test_looks(world):
    sleeps, broken = world.add("sweet-shark-26021"), world.add("broken-looks")
    sleeps.resume()  # and never listens
    broken.fail()
    seen = world.run("looks", url=sleeps.url, broken=broken.url)
    assert {name: turns for name, (turns, _, _) in seen.items()} == {
        "desktop": "turn", "dark": "turn", "phone": "turn", "phonedark": "turn", "still": "none"}
    assert all(over == wide == 0 for _, over, wide in seen.values()), "nothing stands out of the window"
