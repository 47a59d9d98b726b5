"""The API host: an API that deletes boxes by names by which it finds none. Their previews are not found all the same:
the edge looks for the names among the caller's boxes, and where they are not shown each of these may be meant."""

import contextlib
import json
import os
import signal
import threading

import pytest

from api_world import API, api_config, call
from control_plane import BoxAddresses, UnixConnection
from harness import PATIENCE, Edge, HttpOrigin, local_box
from test_api_deletions import IDS, Api, delete, eventually, many, previews, status
from test_api_deletions_plane import Fleet
from wire import WireError

NAME = "name-of-box"
# How an API tells that its list is a part, or does not: members beside it, fields of the answer.
PARTS = {"cut": ({}, ()), "cursor": ({"next_cursor": "2"}, ()), "total": ({"total": 9}, ()), "pages": ({"page": 1, "pages": 2}, ()),
         "offset": ({"count": 2, "offset": 0, "limit": 2}, ()), "link": ({}, ('Link: </v2/box?page=2>; rel="next"',)),
         "count": ({}, ("X-Total-Count: 9",))}


class ShyApi(Api):
    """`GET` finds boxes by id alone, `DELETE` by id or name. `names`: boxes show theirs. `lists`: "whole" (an
    array, which may as well be cut), "object" (it says that it is whole), one of PARTS (the list ends before the box), or
    "none". `unseen`: ids that only DELETE takes.
    `forgiving`: a deletion of nothing succeeds."""

    def __init__(self, names=True, lists="none", unseen=(), forgiving=False):
        self.names, self.lists, self.unseen, self.forgiving = names, lists, unseen, forgiving
        super().__init__()

    def find(self, name, method):
        if method == "GET":
            return self.boxes.get(name) if name not in self.unseen else None
        found = super().find(name, method)
        return found or ({"id": "nobody"} if self.forgiving else None)

    def show(self, box):
        return {key: value for key, value in box.items() if self.names or key != "name"}

    def list(self):
        shown = [self.show(box) for box in self.boxes.values() if box["id"] not in self.unseen]
        if self.lists in PARTS:
            part = [box for box in shown if box["id"] != "box"]
            more, self.list_fields = PARTS[self.lists]
            return {"boxes": part, **more} if more else part
        return {"whole": shown, "object": {"boxes": shown, "next": None}, "none": {}}[self.lists]


@pytest.fixture(name="make")
def _make(tmp_path):
    """make(**of ShyApi) -> world, as of test_api_deletions."""
    made = []

    def make(**how):
        app, api = HttpOrigin(), ShyApi(**how)
        edge = Edge(tmp_path, workers=2, config=api_config([api.port]), boxes=[local_box(i, app) for i in IDS])
        made.extend((edge, api, app))
        for box in IDS:
            edge.create_preview(app.port, box)
        api.app_port = app.port
        return api, edge

    yield make
    for part in made:
        part.close()


class Held:
    """A deletion that the API holds: `within` sees what is served meanwhile."""

    def __init__(self, world, path, body=b"", **options):
        self.api, self.answers = world[0], []
        self.api.hold = threading.Event()
        self.api.deleting.clear()
        self.call = lambda: delete(world, path, body, **options)
        self.asker = threading.Thread(target=self._ask)

    def _ask(self):
        with contextlib.suppress(WireError):  # its worker was killed
            self.answers.append(self.call())

    def __enter__(self):
        self.asker.start()
        assert self.api.deleting.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        self.api.hold.set()
        self.asker.join()

    @property
    def status(self):
        return self.answers[0].status


WAYS = {
    "one": (f"/v2/box/{NAME}", b""),
    "one-encoded": ("/v2/box/n%61me-of-box", b""),
    "many": ("/v2/box", many(NAME)),
    "many-beside-an-id": ("/v2/box", many("box_3", NAME)),
}


@pytest.mark.parametrize("lists", ["whole", "object", *PARTS, "none"])
@pytest.mark.parametrize("way", WAYS)
def test_a_box_that_shows_the_name_is_meant(make, way, lists):
    api, edge = world = make(lists=lists)
    stay = ["two"] if way == "many-beside-an-id" else ["box_3", "two"]
    with Held(world, *WAYS[way]) as held:
        assert {status(world) for _ in range(8)} == {404}
        assert {status(world, box) for box in stay} == {200}
    assert held.status == 200
    assert status(world) == 404 and {status(world, box) for box in stay} == {200}
    edge.wait_until(lambda: previews(edge) == stay, what="the previews to go")
    assert "box" not in api.boxes


@pytest.mark.parametrize("lists", ["whole", "none"])
def test_a_refused_deletion_by_name_brings_it_back(make, lists):
    api, edge = world = make(lists=lists)
    api.statuses["DELETE"] = "409 Conflict"
    assert delete(world, f"/v2/box/{NAME}").status == 409
    eventually(world, "box", 200)
    assert previews(edge) == sorted(IDS)


@pytest.mark.parametrize("forgiving", [False, True])
def test_a_name_that_is_nobodys_hides_nothing(make, forgiving):
    """As when a client deletes twice: what the boxes show is no such name."""
    _, edge = world = make(lists="whole", forgiving=forgiving)
    with Held(world, "/v2/box/gone-before") as held:
        assert {status(world, box) for box in IDS for _ in range(4)} == {200}
    assert held.status == (200 if forgiving else 404)
    assert {status(world, box) for box in IDS for _ in range(4)} == {200}
    assert previews(edge) == sorted(IDS)


def test_where_no_name_is_shown_each_box_may_be_meant(make):
    """Nobody but the API knows of these boxes: they are found again when it has been asked for them."""
    api, edge = world = make(names=False)
    with Held(world, f"/v2/box/{NAME}") as held:
        assert {status(world, box) for box in IDS for _ in range(4)} == {404}
    assert held.status == 200
    assert {status(world, box) for box in IDS for _ in range(4)} == {404}
    edge.wait_until(lambda: call(edge, "/v2/box/two").status == 200 and status(world, "two") == 200,
                    what="the preview to be back")
    edge.wait_until(lambda: call(edge, "/v2/box/box").status == 404 and previews(edge) == ["box_3", "two"],
                    what="the previews to go")
    assert (status(world), status(world, "box_3")) == (404, 404)
    assert [r.target for r in api.requests if r.method == "DELETE"] == [f"/v2/box/{NAME}"]


def test_where_no_name_is_shown_a_refusal_brings_them_back(make):
    _, edge = world = make(names=False)
    with Held(world, "/v2/box/nobodys") as held:
        pass
    assert held.status == 404
    for box in IDS:
        eventually(world, box, 200)
    assert previews(edge) == sorted(IDS)


def test_boxes_that_the_caller_does_not_see_are_not_touched(make):
    """Also where neither names nor a list are shown."""
    api, edge = world = make(names=False, unseen=("two",), forgiving=True)
    with Held(world, "/v2/box/two") as held:
        assert status(world, "two") == 200
    assert held.status == 200 and status(world, "two") == 200
    assert "two" in previews(edge) and "two" not in api.boxes


def test_more_boxes_than_can_be_asked_for(make):
    """The call does not go up: its caller gets what the API says of the name."""
    api, edge = world = make(names=False)
    for number in range(100):
        connection = UnixConnection(edge.admin_socket)
        body = json.dumps({"box": f"many-{number}", "port": 3000})
        connection.request("POST", "/v1/previews", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 201
        connection.close()
    assert delete(world, f"/v2/box/{NAME}").status == 404
    assert status(world) == 200 and "box" in api.boxes
    api.lists = "whole"  # which may be cut: a box of another page may have the name, too
    assert delete(world, f"/v2/box/{NAME}").status == 404
    assert status(world) == 200 and "box" in api.boxes
    api.lists = "object"  # only those of the caller count
    assert delete(world, f"/v2/box/{NAME}").status == 200
    assert status(world) == 404


@pytest.mark.parametrize("refusal", ["403 Forbidden", "503 Service Unavailable"])
def test_an_api_that_does_not_show_the_boxes_gets_no_such_call(make, refusal):
    api, edge = world = make()
    find = api.find
    api.find = lambda name, method: find(name, method) if name != "two" else api.statuses.update(GET=refusal)
    assert delete(world, f"/v2/box/{NAME}").status == int(refusal[:3])
    api.statuses.clear()
    assert {status(world, box) for box in IDS} == {200}
    assert not [r for r in api.requests if r.method == "DELETE"] and previews(edge) == sorted(IDS)


@pytest.mark.parametrize("lists", ["cut", "link"])
def test_a_name_that_two_boxes_have_of_which_a_list_shows_one(make, lists):
    """The API deletes the one that it does not list."""
    api, edge = world = make(lists=lists)
    api.boxes["two"]["name"] = NAME
    with Held(world, f"/v2/box/{NAME}") as held:
        assert {status(world, box) for box in ("box", "two") for _ in range(4)} == {404}
        assert status(world, "box_3") == 200
    assert held.status == 200 and "box" not in api.boxes
    assert {status(world) for _ in range(8)} == {404}
    assert "box" not in previews(edge)


def die(edge, role):
    """A fresh process of each that is killed."""
    edge.expect_deaths = True
    before = edge.pids(role)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    edge.wait_until(lambda: len(edge.pids(role)) == len(before) and not set(before) & set(edge.pids(role)),
                    what=f"another {role}")


@pytest.mark.parametrize("way", ["client-left", "worker-died", "controller-died"])
def test_a_box_behind_a_cut_list_is_not_found_whatever_ends_the_call(make, way):
    api, edge = world = make(lists="cut")
    api.hold = threading.Event()
    with edge.connect("plain", API) as client:
        client.send(f"DELETE /v2/box/{NAME} HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n\r\n".encode())
        assert api.deleting.wait(PATIENCE)
        assert {status(world) for _ in range(8)} == {404}
        if way != "client-left":
            die(edge, way.split("-", maxsplit=1)[0])
            assert {status(world) for _ in range(8)} == {404}
    api.hold.set()
    edge.wait_until(lambda: "box" not in api.boxes, what="the deletion")
    assert {status(world) for _ in range(8)} == {404}
    edge.wait_until(lambda: call(edge, "/v2/box/box").status == 404 and previews(edge) == ["box_3", "two"],
                    what="the previews to go")
    assert {status(world) for _ in range(8)} == {404}


# ---- boxes of a control plane, which is asked about each that may be meant


@pytest.fixture(name="fleet")
def _fleet(tmp_path):
    with BoxAddresses(2) as addresses:
        made = Fleet(tmp_path, addresses, ShyApi(names=False))
        try:
            made.place("box", "a")
            made.place("two", "b")
            assert (made.get(), made.get("two")) == ("a", "b")
            yield made
        finally:
            made.close()


def end_held(fleet, way):
    """A deletion by name that ends so, after the API has carried it out and the control plane has taken the box away."""
    fleet.api.hold = threading.Event()
    with fleet.edge.connect("plain", API) as client:
        client.send(f"DELETE /v2/box/{NAME} HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n\r\n".encode())
        assert fleet.api.deleting.wait(PATIENCE)
        assert {fleet.get(box) for box in ("box", "two") for _ in range(4)} == {404}
        fleet.plane.remove_box("box")
        if way in ("worker", "controller"):
            die(fleet.edge, way)
        if way in ("answered", "controller"):
            fleet.api.hold.set()
            assert client.read_message(PATIENCE, "DELETE").status == 200
    assert {fleet.get() for _ in range(4)} == {404}
    fleet.api.hold.set()


@pytest.mark.parametrize("way", ["answered", "client-left", "worker", "controller"])
def test_boxes_that_may_be_meant_are_not_used_until_the_control_plane_has_spoken(fleet, way):
    """From before the call goes up: not in the moment between the API's deletion and the end of the call, either."""
    seen = len(fleet.apps["a"].requests)
    end_held(fleet, way)
    fleet.edge.wait_until(lambda: fleet.get("two") == "b", what="the control plane's word about the other")
    fleet.edge.wait_until(lambda: fleet.get() == 404 and previews(fleet.edge) == ["two"],  # it knows no box_3 either
                          what="the previews to go")
    assert len(fleet.apps["a"].requests) == seen


def test_without_the_control_planes_word_they_stay_hidden(fleet):
    fleet.plane.misbehave("get", 503)
    with Held((fleet.api, fleet.edge), f"/v2/box/{NAME}") as held:
        pass
    assert held.status == 200
    fleet.plane.wait_calls("get", 1, "two")
    assert {fleet.get(box) for box in ("box", "two") for _ in range(4)} == {404}
    fleet.plane.misbehave("get", None)
    fleet.edge.wait_until(lambda: fleet.get("two") == "b", what="the control plane's word")


def test_a_refused_call_brings_them_back_and_each_is_asked_about_first(fleet):
    fleet.api.statuses["DELETE"] = "404 Not Found"
    before = fleet.plane.count("resume", "two")
    assert call(fleet.edge, f"/v2/box/{NAME}", method="DELETE").status == 404
    fleet.edge.wait_until(lambda: fleet.get("two") == "b", what="the preview to be back")
    assert fleet.plane.count("resume", "two") == before + 1


@pytest.mark.parametrize("way", ["at-once", "controller-stops", "controller-dies", "worker-dies"])
def test_a_box_that_cannot_be_asked_for_by_its_id(fleet, way):
    """The API deletes it all the same, and says so: no request goes to its address from the first byte of that on, as
    long as the controller does not hear of it."""
    fleet.api.unseen = ("box",)
    seen = len(fleet.apps["a"].requests)
    controller = fleet.edge.pids("controller")[0]
    fleet.edge.expect_deaths = True
    with Held((fleet.api, fleet.edge), "/v2/box/box") as held:
        fleet.plane.remove_box("box")
        if way != "at-once":
            os.kill(controller, signal.SIGSTOP)
    assert held.status == 200
    answers = {fleet.get() for _ in range(8)}
    assert answers == {503} if way != "at-once" else answers <= {404, 503}
    if way == "worker-dies":
        die(fleet.edge, "worker")
        assert {fleet.get() for _ in range(8)} == {503}
    if way != "at-once":
        os.kill(controller, signal.SIGKILL if way == "controller-dies" else signal.SIGCONT)
    fleet.edge.wait_until(lambda: fleet.get() == 404, what="the question about it")
    fleet.edge.wait_until(lambda: fleet.get("two") == "b", what="the question about the other")
    assert {fleet.get() for _ in range(4)} == {404} and len(fleet.apps["a"].requests) == seen


def test_a_stranger_makes_no_doubt_by_a_refused_call(fleet):
    fleet.api.unseen = ("box",)
    fleet.api.statuses["DELETE"] = "404 Not Found"
    before = fleet.plane.count(box="box")
    assert call(fleet.edge, "/v2/box/box", method="DELETE").status == 404
    assert {fleet.get() for _ in range(4)} == {"a"} and fleet.plane.count(box="box") == before
