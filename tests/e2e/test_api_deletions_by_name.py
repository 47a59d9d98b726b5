"""The API host: calls that delete boxes are forwarded only with ids that the API's GET has shown to the same key, and
whose deletion is recorded. The API of these tests executes every call."""

import contextlib
import json
import os
import signal
import threading

import pytest

from api_world import API, api_config, call, error
from harness import PATIENCE, Edge, HttpOrigin, local_box
from test_api_deletions import ABSENT, IDS, Api, delete, eventually, many, previews, status

HIDDEN, LATE, KEY = "box_3", "late-name", "k-test"


class TrustingApi(Api):
    """Its `DELETE` also accepts a box that `GET` does not show, and a name that a box gets only then.
    `shows`: the result of `GET` for a name, if `DELETE` finds another box."""

    shows = {}
    names_first = False

    def find(self, name, method):
        if method == "GET" and (name in (HIDDEN, LATE) or name in self.shows):
            return self.boxes.get(self.shows.get(name))
        if name == LATE:
            return self.boxes["two"]
        keys = ("name", "id") if self.names_first else ("id", "name")
        return next((b for key in keys for b in self.boxes.values() if b[key] == name), None)


@pytest.fixture(name="world")
def _world(tmp_path):
    with HttpOrigin() as app, TrustingApi() as api, Edge(tmp_path, workers=2, config=api_config([api.port]),
                                                         boxes=[local_box(i, app) for i in IDS]) as edge:
        for box in IDS:
            edge.create_preview(app.port, box)
        api.app_port = app.port
        yield api, edge


def deletions(api):
    return [r for r in api.requests if r.method.upper() == "DELETE"]


def named(request):
    """The path of a call that went up, and the ids in it."""
    return (request.target, json.loads(request.body)["ids"]) if request.body else (request.target, None)


def die(edge, role):
    """A fresh process for each killed one."""
    edge.expect_deaths = True
    before = edge.pids(role)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    edge.wait_until(lambda: len(edge.pids(role)) == len(before) and not set(before) & set(edge.pids(role)),
                    what=f"another {role}")


# ---- every call, with every end

# path, body -> the boxes, the upstream call
SEEN = {
    "one-id": ("/v2/box/box", b"", ["box"], ("/v2/box/box", None)),
    "one-name": ("/v2/box/name-of-box", b"", ["box"], ("/v2/box/box", None)),
    "one-spelling": ("//v2/BOX/n%61me-of-box/;x", b"", ["box"], ("/v2/box/box", None)),
    "many-id": ("/v2/box", many("box"), ["box"], ("/v2/box", ["box"])),
    "many-name": ("/v2/box", many("name-of-box"), ["box"], ("/v2/box", ["box"])),
    "many-spelling": ("/v2//b%6fx/", b' {"ids": ["name-of-\\u0062ox", "box"]}', ["box"], ("/v2/box", ["box"])),
    "many-mixed": ("/v2/box", many("two", "name-of-box", "name-of-two"), ["two", "box"], ("/v2/box", ["two", "box"])),
}
UNSEEN = {
    "one-id": (f"/v2/box/{HIDDEN}", b""),
    "one-name": (f"/v2/box/{LATE}", b""),
    "one-spelling": (f"/v2/./box/{LATE[:-1]}%65", b""),
    "many-id": ("/v2/box", many(HIDDEN)),
    "many-name": ("/v2/box", many(LATE)),
    "many-spelling": ("/V2/box/", many(LATE)),
    "many-mixed-id": ("/v2/box", many("two", HIDDEN)),
    "many-mixed-name": ("/v2/box", many("name-of-box", LATE)),
}
STATUSES = {"2xx": "200 OK", "4xx": "429 Too Many Requests", "5xx": "500 Internal Server Error"}
ENDS = [*STATUSES, "client-left", "worker-died"]


def said_absent(box, body):
    """The API's answer, which names the box for a list."""
    return {"error": f"Box {box}: {ABSENT}" if body else ABSENT}


def request_of(path, body):
    return (f"DELETE {path} HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
            .encode() + body)


@contextlib.contextmanager
def asked(world, path, body, reached):
    """A call that has got as far as `reached`; yields a function that reads its answer."""
    with world[1].connect("plain", API) as client:
        client.send(request_of(path, body))
        assert reached.wait(PATIENCE)
        yield lambda: client.read_message(PATIENCE, "DELETE")


def check_held(world, boxes):
    """Every worker hides the boxes, and those alone."""
    for box in IDS:
        assert {status(world, box) for _ in range(8)} == {404 if box in boxes else 200}, box


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", SEEN)
def test_a_call_goes_up_with_recorded_ids(world, way, end):
    api, edge = world
    path, body, boxes, expected = SEEN[way]
    api.hold = threading.Event()
    api.statuses["DELETE"] = STATUSES.get(end, "200 OK")
    with asked(world, path, body, api.deleting) as read:
        check_held(world, boxes)
        if end == "worker-died":
            die(edge, "worker")
        if end in STATUSES:
            api.hold.set()
            assert read().status == int(STATUSES[end][:3])
    if end == "4xx":
        for box in IDS:
            eventually(world, box, 200)
        assert previews(edge) == sorted(IDS)
    else:
        check_held(world, boxes)
    api.hold.set()
    assert [named(r) for r in deletions(api)] == [expected]
    if end in ("5xx", "client-left", "worker-died"):
        edge.wait_until(lambda: end == "5xx" or not set(boxes) & set(api.boxes), what="the deletion")
        for box in boxes:
            api.boxes.pop(box, None)
            edge.wait_until(lambda b=box: call(edge, f"/v2/box/{b}").status == 404 and b not in previews(edge),
                            what="the previews to go")
    if end != "4xx":
        edge.wait_until(lambda: previews(edge) == sorted(set(IDS) - set(boxes)), what="the previews to go")
        check_held(world, boxes)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", UNSEEN)
def test_a_call_that_names_an_unseen_box_does_not_go_up(world, way, end):
    """Its caller gets the API's own answer to the question. A client that leaves and a worker that dies do so
    during the question."""
    api, edge = world
    path, body = UNSEEN[way]
    api.statuses["DELETE"] = STATUSES.get(end, "200 OK")
    if end in STATUSES:
        refused = delete(world, path, body)
        box = HIDDEN if HIDDEN.encode() in body else LATE
        assert (refused.status, json.loads(refused.body)) == (404, said_absent(box, body))
    else:
        api.held_key = KEY
        with asked(world, path, body, api.asked):
            if end == "worker-died":
                die(edge, "worker")
        api.release.set()
    check_held(world, [])
    assert not deletions(api) and previews(edge) == sorted(IDS) and sorted(api.boxes) == sorted(IDS)


# ---- names of several boxes

@pytest.mark.parametrize("path, body", [("/v2/box/twin", b""), ("/v2/box", many("twin", "two"))], ids=["one", "many"])
def test_a_name_for_which_get_and_delete_find_different_boxes(world, path, body):
    """The box that `GET` shows is meant."""
    api, edge = world
    api.boxes["box"]["name"] = api.boxes["two"]["name"] = "twin"
    api.shows = {"twin": "two"}
    assert delete(world, path, body).status == 200
    assert "two" not in api.boxes and "box" in api.boxes
    assert (status(world, "two"), status(world)) == (404, 200)
    edge.wait_until(lambda: "two" not in previews(edge) and "box" in previews(edge), what="the previews to go")


@pytest.mark.parametrize("path, body", [("/v2/box/two", b""), ("/v2/box", many("two"))], ids=["one", "many"])
@pytest.mark.parametrize("names_first", [True, False], ids=["names-first", "ids-first"])
def test_an_id_that_is_the_name_of_another_box(world, names_first, path, body):
    """An API that finds boxes by name first means the other one."""
    api, edge = world
    api.names_first, api.boxes["box"]["name"] = names_first, "two"
    gone, stays = ("box", "two") if names_first else ("two", "box")
    assert delete(world, path, body).status == 200
    assert gone not in api.boxes and stays in api.boxes
    assert (status(world, gone), status(world, stays)) == (404, 200)
    edge.wait_until(lambda: previews(edge) == sorted({"box_3", stays}), what="the previews to go")


@pytest.mark.parametrize("path, body", [("/v2/box/a-name", b""), ("/v2/box", many("box", "a-name"))], ids=["one", "many"])
def test_a_box_that_its_own_id_does_not_find(world, path, body):
    """Its id is the name of another box: for either one the API would delete that box."""
    api, edge = world
    api.names_first, api.boxes["two"]["name"], api.boxes["box_3"]["name"] = True, "a-name", "two"
    refused = delete(world, path, body)
    assert (refused.status, error(refused)) == (502, "bad_response")
    check_held(world, [])
    assert not deletions(api) and previews(edge) == sorted(IDS)


@pytest.mark.parametrize("path, body", [("/v2/box/name-of-two", b""), ("/v2/box", many("box", "name-of-two"))],
                         ids=["one", "many"])
def test_a_box_that_is_gone_once_it_is_asked_for_by_id(world, path, body):
    api, _ = world
    api.shows = {"two": None}
    refused = delete(world, path, body)
    assert (refused.status, json.loads(refused.body)) == (404, said_absent("two", body))
    check_held(world, [])
    assert not deletions(api)


def test_as_many_names_as_a_call_may_have(world):
    """Each costs the API two questions."""
    api, _ = world
    ids = [f"many-{number}" for number in range(100)]
    api.boxes.update({box: {"id": box, "name": f"name-of-{box}", "status": "idle"} for box in ids})
    assert delete(world, "/v2/box", many(*(f"name-of-{box}" for box in ids))).status == 200
    assert [named(r) for r in deletions(api)] == [("/v2/box", ids)]
    assert len([r for r in api.requests if r.method == "GET"]) == 200
    check_held(world, [])
    assert sorted(api.boxes) == sorted(IDS)
