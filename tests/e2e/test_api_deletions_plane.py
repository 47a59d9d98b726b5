"""The API host: deletions of a control plane's boxes. The control plane decides an unknown outcome, and gives their
addresses to other boxes."""

import os
import signal
import threading

import pytest

from api_world import API, answer, api_config, call
from control_plane import BOX_NETWORK, BoxAddresses, ControlPlane, push
from harness import PATIENCE, Edge, RawOrigin
from test_api_deletions import IDS, Api, previews

PORT = 3000


class Fleet:
    """A control plane, an API and an edge with two workers; boxes at addresses that are reused."""

    def __init__(self, directory, addresses, api=None):
        self.plane, self.api = ControlPlane(), api or Api()
        self.apps = {name: RawOrigin(answer(name), address=address) for name, address in zip("ab", addresses)}
        self.edge = Edge(directory, workers=2, config=api_config(
            [self.api.port], control_plane={"url": self.plane.url, "timeout": "1s"}, origins={"allow": [BOX_NETWORK]}),
            boxes=[{"id": "other", "address": "127.0.0.1:1"}])
        for box in IDS:
            self.edge.create_preview(PORT, box)

    def place(self, box, app, state="running"):
        origin = self.apps[app]
        return self.plane.add_box(box, address=origin.listener.getsockname()[0], port=origin.port, state=state)

    def get(self, box="box"):
        response = self.edge.get(Edge.host(PORT, box), "/")
        return response.body.decode() if response.status == 200 else response.status

    def close(self):
        self.edge.close()
        self.plane.close()
        for origin in (*self.apps.values(), self.api):
            origin.close()


@pytest.fixture(name="fleet")
def _fleet(tmp_path):
    with BoxAddresses(2) as addresses:
        made = Fleet(tmp_path, addresses)
        try:
            yield made
        finally:
            made.close()


def test_an_address_that_another_box_was_seen_to_have(fleet):
    """The control plane has not reported the end of the first box."""
    fleet.place("box", "a")
    assert fleet.get() == "a"
    before = fleet.plane.count(box="box")
    assert fleet.get() == "a" and fleet.plane.count(box="box") == before
    fleet.plane.remove_box("box")
    fleet.place("two", "a")
    assert fleet.get("two") == "a"
    assert {fleet.get() for _ in range(4)} == {404}
    assert fleet.plane.count(box="box") == before + 1


def test_a_box_that_is_told_without_a_port_has_every_port_of_its_address(fleet):
    fleet.place("box", "a")
    assert fleet.get() == "a"
    fleet.plane.remove_box("box")
    told = fleet.plane.add_box("two", address=fleet.apps["a"].listener.getsockname()[0], state="running")
    assert "port" not in told and push(fleet.edge, "two", told)[0] == 200
    assert {fleet.get() for _ in range(4)} == {404}


def test_a_box_that_moved_unseen_is_found_where_it_is(fleet):
    fleet.place("box", "a")
    assert fleet.get() == "a"
    fleet.place("box", "b")
    fleet.place("two", "a")
    assert fleet.get("two") == "a"
    before = fleet.plane.count(box="box")
    answers = []
    askers = [threading.Thread(target=lambda: answers.append(fleet.get())) for _ in range(16)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert set(answers) == {"b"} and fleet.plane.count(box="box") == before + 1


def test_without_a_word_nobody_uses_the_address(fleet):
    fleet.place("box", "a")
    assert fleet.get() == "a"
    fleet.place("two", "a")
    assert fleet.get("two") == "a"
    seen = len(fleet.apps["a"].requests)
    fleet.plane.misbehave("resume", 503)
    assert fleet.get() == 503
    assert len(fleet.apps["a"].requests) == seen


def test_two_boxes_that_the_control_plane_has_at_one_address(fleet):
    """The edge asks about each before use: the last answer counts."""
    fleet.place("box", "a")
    fleet.place("two", "a")
    for box in ("box", "two", "box", "two"):
        assert fleet.get(box) == "a"


def test_a_controller_that_was_killed_remembers_who_came_last(fleet):
    fleet.place("box", "a")
    fleet.place("two", "b")
    assert (fleet.get(), fleet.get("two")) == ("a", "b")
    fleet.edge.expect_deaths = True
    os.kill(fleet.edge.pids("controller")[0], signal.SIGKILL)
    fleet.plane.remove_box("box")
    address = fleet.place("box_3", "a")
    fleet.edge.wait_until(lambda: fleet.get("box_3") == "a", what="a controller")
    assert push(fleet.edge, "box_3", address)[0] == 200
    assert fleet.get() == 404


def test_after_a_refused_deletion_the_box_is_asked_about_first(fleet):
    fleet.place("box", "a")
    assert fleet.get() == "a"
    fleet.api.statuses["DELETE"] = "403 Forbidden"
    assert call(fleet.edge, "/v2/box/box", method="DELETE").status == 403
    fleet.place("box", "b")
    fleet.edge.wait_until(lambda: fleet.get() != 404, what="the preview to be back")
    assert fleet.get() == "b" and not fleet.apps["b"].requests == []


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_the_providers_word_brings_them_back(fleet, known):
    fleet.place("box", "a")
    if known:
        assert fleet.get() == "a"
    fleet.api.statuses["DELETE"] = "500 Internal Server Error"
    assert call(fleet.edge, "/v2/box/box", method="DELETE").status == 500
    assert fleet.get() == 404
    fleet.edge.wait_until(lambda: fleet.get() == "a", what="the preview to be back")
    assert fleet.plane.count("get", "box") > 0


def test_the_providers_word_while_the_api_still_deletes_brings_nothing_back(fleet):
    """The client of the call left immediately."""
    fleet.place("box", "a")
    assert fleet.get() == "a"
    seen = len(fleet.apps["a"].requests)
    fleet.api.hold = threading.Event()
    with fleet.edge.connect("plain", API) as client:
        client.send(f"DELETE /v2/box/box HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n\r\n".encode())
        assert fleet.api.deleting.wait(PATIENCE)
    fleet.plane.wait_calls("get", 3, "box")  # each after the answer to the one before
    assert fleet.get() == 404
    fleet.api.hold.set()
    fleet.plane.remove_box("box")
    fleet.edge.wait_until(lambda: fleet.get() == 404 and previews(fleet.edge) == ["box_3", "two"],
                          what="the previews to go")
    assert len(fleet.apps["a"].requests) == seen


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_the_providers_word_ends_them(fleet, known):
    fleet.place("box", "a")
    if known:
        assert fleet.get() == "a"
    fleet.plane.remove_box("box")
    fleet.api.statuses["DELETE"] = "500 Internal Server Error"
    assert call(fleet.edge, "/v2/box/box", method="DELETE").status == 500
    fleet.edge.wait_until(lambda: previews(fleet.edge) == ["box_3", "two"], what="the previews to go")


def test_a_provider_that_is_down_is_asked_until_it_speaks(fleet):
    fleet.place("box", "a")
    assert fleet.get() == "a"
    fleet.plane.misbehave("get", 503)
    fleet.api.statuses["DELETE"] = "500 Internal Server Error"
    assert call(fleet.edge, "/v2/box/box", method="DELETE").status == 500
    fleet.plane.wait_calls("get", 1, "box")
    assert fleet.get() == 404
    fleet.plane.misbehave("get", None)
    fleet.edge.wait_until(lambda: fleet.get() == "a", what="the preview to be back")


class OldNews:
    """The control plane answers one call of a kind with the state at the call's arrival, once `release` is
    set."""

    def __init__(self, plane, kind):
        self.asked, self.release = threading.Event(), threading.Event()
        plane.misbehave(kind, self._answer, times=1)
        self.plane = plane

    def _answer(self, handler, call_):
        told = dict(self.plane.boxes[call_.box])
        self.asked.set()
        self.release.wait(PATIENCE)
        handler.say(200, told)


def test_an_answer_to_a_question_from_before_the_deletion_brings_nothing_back(fleet):
    fleet.place("box", "a")
    assert fleet.get() == "a"
    seen = len(fleet.apps["a"].requests)
    news = OldNews(fleet.plane, "get")
    fleet.api.statuses["DELETE"] = "500 Internal Server Error"
    for _ in range(2):
        assert call(fleet.edge, "/v2/box/box", method="DELETE").status == 500
        assert news.asked.wait(PATIENCE)
    fleet.plane.remove_box("box")
    news.release.set()
    fleet.edge.wait_until(lambda: fleet.get() == 404 and previews(fleet.edge) == ["box_3", "two"],
                          what="the previews to go")
    assert len(fleet.apps["a"].requests) == seen


@pytest.mark.parametrize("doubt", ["deletion", "another-box"])
def test_an_answer_to_a_question_from_before_a_doubt_does_not_end_it(fleet, doubt):
    fleet.place("box", "a")
    assert fleet.get() == "a"
    seen = len(fleet.apps["a"].requests)
    fleet.api.statuses["DELETE"] = "403 Forbidden"
    assert call(fleet.edge, "/v2/box/box", method="DELETE").status == 403
    news, answers = OldNews(fleet.plane, "resume"), []
    eventually_asks = threading.Thread(target=lambda: answers.append(fleet.get()))
    fleet.edge.wait_until(lambda: previews(fleet.edge) == sorted(IDS), what="the preview to be back")
    eventually_asks.start()
    assert news.asked.wait(PATIENCE)
    if doubt == "deletion":
        assert call(fleet.edge, "/v2/box/box", method="DELETE").status == 403
    else:
        assert push(fleet.edge, "two", fleet.place("two", "a"))[0] == 200
    fleet.plane.remove_box("box")
    news.release.set()
    eventually_asks.join()
    assert answers == [404]
    assert {fleet.get() for _ in range(4)} == {404} and len(fleet.apps["a"].requests) == seen


@pytest.mark.parametrize("path, body", [("/v2/box/box", b""), ("/v2/box", b'{"ids": ["two", "box"]}')], ids=["one", "many"])
@pytest.mark.parametrize("line", ["200 OK", "404 Not Found", "500 Internal Server Error"])
def test_a_call_that_names_a_box_of_others_makes_no_doubt_about_it(fleet, line, path, body):
    """The API's `GET` does not show the box to the caller. The control plane is not asked."""
    fleet.place("box", "a")
    fleet.place("two", "b")
    assert (fleet.get(), fleet.get("two")) == ("a", "b")
    find, fleet.api.statuses["DELETE"] = fleet.api.find, line
    fleet.api.find = lambda name, method: None if method == "GET" and name == "box" else find(name, method)
    before = fleet.plane.count(box="box")
    for _ in range(4):
        assert call(fleet.edge, path, method="DELETE", body=body).status == 404
        assert (fleet.get(), fleet.get("two")) == ("a", "b")
    assert fleet.plane.count(box="box") == before and previews(fleet.edge) == sorted(IDS)
    assert not [r for r in fleet.api.requests if r.method == "DELETE"]
