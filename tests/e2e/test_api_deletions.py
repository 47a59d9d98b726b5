"""The API host: deletions of boxes, in every way and spelling. The previews of a box answer 404 before the call is forwarded, and end or return by its outcome."""

import json
import os
import re
import signal
import threading
from urllib.parse import unquote

import pytest

from api_world import API, answer, api_config, call, error
from boxapi.service import BoxApi
from dataplane import metric
from harness import PATIENCE, Edge, HttpOrigin, RawOrigin, local_box

IDS = ("box", "two", "box_3")
ABSENT = "The API finds no such box."  # in its answer to a GET


class Api(RawOrigin):
    """A box API that accepts every spelling, and boxes by id or name. `hold`: deletions are answered once it
    is set. `held_key`: a request with it is answered with the state at its arrival, once `release` is set."""

    def __init__(self, ids=IDS, **names):
        self.boxes = {box: {"id": box, "name": names.get(box, f"name-of-{box}"), "status": "idle"} for box in ids}
        self.statuses = {}  # method -> status line
        self.fields = ()    # of every answer
        self.hold, self.deleting = None, threading.Event()
        self.cut = 0  # number of deletions that are carried out, and whose connection ends without an answer
        self.held_target = None  # its answer comes once `release` is set
        self.held_key, self.asked, self.release = None, threading.Event(), threading.Event()
        super().__init__(self.serve)

    def find(self, name, method):  # pylint: disable=unused-argument
        return next((b for b in self.boxes.values() if name in (b["id"], b["name"])), None)

    def serve(self, conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            overrides = [value for name, value in request.fields if "override" in name.lower()]
            method = "DELETE" if "DELETE" in "".join(overrides).upper() else request.method.upper()
            path = unquote(unquote(request.target.split("?")[0])).lower()
            parts = [part.split(";")[0] for part in re.split(r"[/\\]", path) if part not in ("", ".")]
            names = json.loads(request.body)["ids"] if len(parts) == 2 and method == "DELETE" else parts[2:3]
            if method == "DELETE":
                self.deleting.set()
                if self.hold is not None:
                    self.hold.wait(PATIENCE)
            found = [self.find(name, method) for name in names]
            status = self.statuses.get(method) or ("200 OK" if all(found) else "404 Not Found")
            if method == "DELETE" and status.startswith("2") and not status.startswith("207"):
                for box in found:
                    self.boxes.pop(box["id"], None)
            if method == "DELETE" and self.cut > 0:
                self.cut -= 1
                return
            shown = found[0] if found and all(found) else {"error": ABSENT if found else "This is a list."}
            text = json.dumps(shown if method == "GET" else {})
            if request.target == self.held_target or (self.held_key is not None
                                                      and request.get("x-box-api-key") == self.held_key):
                self.asked.set()
                self.release.wait(PATIENCE)
            conn.send(answer("" if status.startswith("204") else text, status, self.fields))


@pytest.fixture(name="world")
def _world(tmp_path):
    with HttpOrigin() as app, Api() as api, Edge(tmp_path, workers=2, config=api_config([api.port]),
                                                 boxes=[local_box(i, app) for i in IDS]) as edge:
        for box in IDS:
            edge.create_preview(app.port, box)
        api.app_port = app.port
        yield api, edge


def status(world, box="box"):
    api, edge = world
    return edge.get(Edge.host(api.app_port, box), "/echo").status


def delete(world, path="/v2/box/box", body=b"", method="DELETE", fields=(), **options):
    return call(world[1], path, method=method, body=body, fields=["Content-Type: application/json", *fields], **options)


def many(*names):
    return json.dumps({"ids": names}).encode()


def previews(edge):
    return sorted({p["box"] for p in json.loads(edge.command("preview", "list", "--json"))["previews"]})


def eventually(world, box, wanted):
    world[1].wait_until(lambda: status(world, box) == wanted, what=f"status {wanted} of {box}")


# ---- every way

WAYS = {
    "one": ("DELETE", "/v2/box/box", b""),
    "by-name": ("DELETE", "/v2/box/name-of-box", b""),
    "empty-query": ("DELETE", "/v2/box/box?", b""),
    "slash": ("DELETE", "/v2/box/box/", b""),
    "slashes": ("DELETE", "//v2//box//box", b""),
    "encoded": ("DELETE", "/v2/box/%62ox", b""),
    "encoded-route": ("DELETE", "/v2/%62ox/box", b""),
    "encoded-slash": ("DELETE", "/v2/box%2fbox", b""),
    "parameter": ("DELETE", "/v2/box/box;x", b""),
    "dot": ("DELETE", "/v2/./box/box", b""),
    "backslash": ("DELETE", "/v2/box\\box", b""),
    "capitals": ("DELETE", "/V2/BOX/box", b""),
    "method": ("delete", "/v2/box/box", b""),
    "override": ("POST", "/v2/box/box", b"", "X-HTTP-Method-Override: delete"),
    "override-underscores": ("POST", "/v2/box/box", b"", "X_Http_Method_Override: DELETE"),
    "override-list": ("POST", "/v2/box/box", b"", "X-Method-Override: PATCH, DELETE"),
    "many": ("DELETE", "/v2/box", many("box")),
    "many-by-name": ("DELETE", "/v2/box", many("name-of-box")),
    "many-slash": ("DELETE", "/v2/box/", many("box")),
    "many-encoded": ("DELETE", "/v2/b%6fx", many("box")),
    "many-method": ("Delete", "/v2/box", many("box")),
}


@pytest.mark.parametrize("way", WAYS)
def test_previews_are_not_found_from_before_the_call_goes_up(world, way):
    api, edge = world
    method, path, body, *fields = WAYS[way]
    assert status(world) == 200
    api.hold = threading.Event()
    answers = []
    asker = threading.Thread(target=lambda: answers.append(delete(world, path, body, method, fields)))
    asker.start()
    assert api.deleting.wait(PATIENCE)
    assert {status(world) for _ in range(8)} == {404}
    assert status(world, "two") == 200
    api.hold.set()
    asker.join()
    assert answers[0].status == 200, answers[0].body
    assert status(world) == 404
    edge.wait_until(lambda: previews(edge) == ["box_3", "two"], what="the previews to go")


@pytest.mark.parametrize("path, body", [("/v2/box/name-of-box", b""), ("/v2/box/n%61me-of-box/", b""),
                                        ("/v2/box", many("box_3", "name-of-box"))], ids=["one", "spelling", "many"])
def test_a_name_that_another_box_gets_before_the_deletion(world, path, body):
    """The API deletes the box in question."""
    api, edge = world
    api.hold = threading.Event()
    answers = []
    asker = threading.Thread(target=lambda: answers.append(delete(world, path, body)))
    asker.start()
    assert api.deleting.wait(PATIENCE)
    api.boxes["box"]["name"], api.boxes["two"]["name"] = "another", "name-of-box"
    api.hold.set()
    asker.join()
    assert answers[0].status == 200 and "two" in api.boxes and "box" not in api.boxes
    assert (status(world), status(world, "two")) == (404, 200)
    [request] = [r for r in api.requests if r.method == "DELETE"]
    if body:
        assert json.loads(request.body) == {"ids": ["box_3", "box"]}
    else:
        assert request.target == "/v2/box/box"
    edge.wait_until(lambda: "box" not in previews(edge), what="the previews to go")


def test_a_box_that_gets_the_name_while_the_body_is_held_back(world):
    """The edge asks for the box's identity once the call is whole: the client does not choose the time in
    between."""
    api, edge = world
    with edge.connect("plain", API) as client:
        client.send(f"DELETE /v2/box/late HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\nContent-Length: 2\r\n\r\n{{"
                    .encode())
        for _ in range(40):  # meanwhile the edge has asked every question that precedes the body
            assert call(edge, "/v2/box/two").status == 200
        api.boxes["two"]["name"] = "late"
        client.send(b"}")
        assert client.read_message(PATIENCE, "DELETE").status == 200
    assert "two" not in api.boxes and status(world, "two") == 404
    edge.wait_until(lambda: previews(edge) == ["box", "box_3"], what="the previews to go")


def test_many_boxes_at_once(world):
    _, edge = world
    assert delete(world, "/v2/box", many("box", "name-of-two", "box")).status == 200
    assert [status(world, box) for box in IDS] == [404, 404, 200]
    edge.wait_until(lambda: previews(edge) == ["box_3"], what="the previews to go")


@pytest.mark.parametrize("refusal", ["403 Forbidden", "409 Conflict", "422 Unprocessable Content", "429 Too Many Requests",
                                     "308 Permanent Redirect"])
@pytest.mark.parametrize("path, body", [("/v2/box/box", b""), ("/v2/box", many("box"))], ids=["one", "many"])
def test_a_refused_deletion_brings_them_back(world, refusal, path, body):
    api, edge = world
    api.statuses["DELETE"] = refusal
    assert delete(world, path, body).status == int(refusal[:3])
    eventually(world, "box", 200)
    assert previews(edge) == sorted(IDS)


@pytest.mark.parametrize("answered, back", [("403 Forbidden", True), ("429 Too Many Requests", True), ("409 Conflict", False),
                                            ("422 Unprocessable Content", False), ("410 Gone", False)])
def test_a_refusal_of_many_may_come_after_some_are_gone(world, answered, back):
    api, edge = world
    api.statuses["DELETE"] = answered
    assert delete(world, "/v2/box", many("box", "two")).status == int(answered[:3])
    if back:
        eventually(world, "box", 200)
        return
    del api.boxes["box"]
    edge.wait_until(lambda: call(edge, "/v2/box/box").status == 404 and previews(edge) == ["box_3", "two"],
                    what="the preview of the box that is gone to go")
    assert status(world) == 404


def test_an_answer_to_a_second_sending_refuses_nothing(world):
    """The first call has deleted the box, and its connection ended without an answer."""
    api, edge = world
    assert call(edge, "/v2/box/box").status == 200  # a connection for the next call
    api.cut, api.statuses["DELETE"] = 1, "409 Conflict"
    assert delete(world).status == 409
    assert [r.method for r in api.requests].count("DELETE") == 2
    del api.boxes["box"]
    edge.wait_until(lambda: call(edge, "/v2/box/box").status == 404 and previews(edge) == ["box_3", "two"],
                    what="the preview to go")
    assert status(world) == 404


@pytest.mark.parametrize("success", ["202 Accepted", "204 No Content", "410 Gone"])
def test_any_success_ends_them(world, success):
    api, edge = world
    api.statuses["DELETE"] = success
    assert delete(world).status == int(success[:3])
    assert status(world) == 404
    edge.wait_until(lambda: previews(edge) == ["box_3", "two"], what="the previews to go")


@pytest.mark.parametrize("query", ["_method=DELETE", "a=1&%5fmethod=delete", "_method", ".method=DELETE", "%20_method=delete",
                                   "%5BMethod=DELETE"])
@pytest.mark.parametrize("path", ["/v2/box/box", "/v2/box", "/V2//box/box/"])
@pytest.mark.parametrize("method", ["POST", "post"])
def test_a_method_in_the_query_does_not_go_up(world, path, query, method):
    api, edge = world
    refused = call(edge, f"{path}?{query}", method=method, body=b"{}")
    assert refused.status == 400 and json.loads(refused.body)["code"] == "bad_query"
    assert not api.requests and status(world) == 200
    # Elsewhere a query of that name has no meaning.
    assert call(edge, f"/v2/other?{query}", method="POST", body=b"{}").status != 400


def test_each_box_is_asked_for_once(world):
    api, _ = world
    assert delete(world, "/v2/box", many(*["box"] * 50, "two")).status == 200
    assert [r.target for r in api.requests if r.method == "GET"] == ["/v2/box/box", "/v2/box/two"]


def test_answers_about_boxes_count_to_the_memory(world):
    """Until the last one has come, the edge keeps all of them."""
    api, edge = world
    before = metric(edge, "buffered_bytes")
    api.boxes["box"]["labels"] = "x" * 50_000
    api.held_target = "/v2/box/two"
    with edge.connect("plain", API) as client:
        body = many("box", "two")
        client.send(f"DELETE /v2/box HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        edge.wait_until(lambda: metric(edge, "buffered_bytes") > before + 50_000, what="the answer to count")
        api.release.set()
        assert client.read_message(request_method="DELETE").status == 200


# ---- deletions with an unknown outcome

def unknown(world, way, tmp_path):
    """A deletion whose end reveals no outcome."""
    api, edge = world
    if way in ("404", "500", "207"):
        api.statuses["DELETE"] = {"404": "404 Not Found", "500": "500 Internal Server Error", "207": "207 Multi-Status"}[way]
        assert delete(world).status == int(way)
        return
    api.hold = threading.Event()
    with edge.connect("plain", API) as client:
        client.send(f"DELETE /v2/box/box HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n\r\n".encode())
        assert api.deleting.wait(PATIENCE)
        if way == "worker-died":
            edge.expect_deaths = True
            for pid in edge.pids("worker"):
                os.kill(pid, signal.SIGKILL)
            edge.wait_until(lambda: len(edge.pids("worker")) == 2, what="new workers")
        elif way == "all-died":
            edge.kill()
            edge.start()
    api.statuses["DELETE"] = "500 Internal Server Error"
    api.hold.set()


UNKNOWN = ["404", "500", "207", "client-left", "worker-died", "all-died"]


@pytest.mark.parametrize("way", UNKNOWN)
def test_a_later_get_by_the_same_key_brings_them_back(world, way, tmp_path):
    api, _ = world
    unknown(world, way, tmp_path)
    eventually(world, "box", 404)
    assert call(world[1], "/v2/box/box", key="another").status == 200
    assert status(world) == 404
    world[1].wait_until(lambda: call(world[1], "/v2/box/box").status == 200 and status(world) == 200,
                        what="the preview to be back")
    assert [r.method for r in api.requests].count("DELETE") == 1


@pytest.mark.parametrize("way", UNKNOWN)
@pytest.mark.parametrize("gone", ["404", "deleted"])
def test_a_later_get_by_the_same_key_ends_them(world, way, gone, tmp_path):
    api, edge = world
    unknown(world, way, tmp_path)
    eventually(world, "box", 404)
    if gone == "404":
        del api.boxes["box"]
    else:
        api.boxes["box"]["status"] = "deleted"

    def settled():
        call(edge, "/v2/box/box")
        return previews(edge) == ["box_3", "two"]

    edge.wait_until(settled, what="the previews to go")
    assert status(world) == 404


def test_a_get_while_the_api_still_deletes_brings_nothing_back(world):
    """Its client left immediately, and asks for the box before it is gone."""
    api, edge = world
    api.hold = threading.Event()
    with edge.connect("plain", API) as client:
        client.send(f"DELETE /v2/box/box HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n\r\n".encode())
        assert api.deleting.wait(PATIENCE)
    edge.wait_for_line(method="DELETE")  # its call has ended
    for _ in range(40):
        assert (call(edge, "/v2/box/box").status, status(world)) == (200, 404)
    api.hold.set()
    edge.wait_until(lambda: "box" not in api.boxes, what="the deletion")
    assert status(world) == 404
    edge.wait_until(lambda: call(edge, "/v2/box/box").status == 404 and previews(edge) == ["box_3", "two"],
                    what="the previews to go")
    assert status(world) == 404


def test_a_call_that_never_went_up_changes_nothing(world):
    api, edge = world
    edge.command("upstream", "drain", "api", f"127.0.0.1:{api.port}")
    refused = delete(world)
    assert refused.status == 503
    assert status(world) == 200
    edge.command("upstream", "undrain", "api", f"127.0.0.1:{api.port}")


def test_a_call_that_no_server_took_brings_them_back(world):
    """The upstream goes between the question and the call."""
    api, _ = world

    def serve(conn):
        conn.read_request(timeout=3600)
        api.stop_listening()
        text = json.dumps(api.boxes["box"])
        conn.send(answer(text, fields=["Connection: close"]))

    api.handler = serve
    assert delete(world).status == 502
    eventually(world, "box", 200)


@pytest.mark.parametrize("path, body", [("/v2/box/box", b""), ("/v2/box", many("two", "box"))], ids=["one", "many"])
def test_who_may_not_see_a_box_does_not_hide_its_previews(world, path, body):
    """The caller gets the API's answer to the question, with the fields that clients act on."""
    api, _ = world
    fields = {"Location": "https://elsewhere.example/v2/box/box", "Retry-After": "7", "WWW-Authenticate": "Key"}
    api.fields = [f"{name}: {value}" for name, value in fields.items()]
    for line in ("404 Not Found", "400 Bad Request", "403 Forbidden", "401 Unauthorized", "308 Permanent Redirect",
                 "429 Too Many Requests", "500 Internal Server Error"):
        api.statuses["GET"] = line
        refused = delete(world, path, body, key=f"k-{line[:3]}")
        assert refused.status == int(line[:3])
        assert {name: refused.get(name) for name in fields} == fields
        assert status(world) == 200
    assert not [r for r in api.requests if r.method == "DELETE"]


@pytest.mark.parametrize("shown", ["{}", "[]", "no JSON", '{"id": 7}', '{"id": ""}', '{"id": "' + "x" * 257 + '"}'])
def test_an_answer_that_shows_no_box(world, shown):
    api, _ = world
    api.handler = lambda conn: conn.read_request(timeout=3600) and conn.send(answer(shown, fields=["Connection: close"]))
    refused = delete(world)
    assert (refused.status, error(refused)) == (502, "bad_response")
    assert status(world) == 200 and not [r for r in api.requests if r.method == "DELETE"]


def test_no_preview_is_made_while_a_deletion_goes_on(world):
    api, edge = world
    api.hold = threading.Event()
    asker = threading.Thread(target=lambda: delete(world))
    asker.start()
    assert api.deleting.wait(PATIENCE)
    refused = call(edge, "/v2/box/box/preview", method="POST", body=b'{"port": 4000}')
    assert (refused.status, error(refused)) == (409, "box_being_deleted")
    api.hold.set()
    asker.join()


def test_no_preview_is_made_while_the_api_still_deletes(world):
    """The client of the call left immediately, and the box had no preview."""
    api, edge = world
    edge.command("preview", "delete", "box", str(api.app_port))
    wish = json.dumps({"port": api.app_port}).encode()
    api.hold = threading.Event()
    with edge.connect("plain", API) as client:
        client.send(f"DELETE /v2/box/box HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n\r\n".encode())
        assert api.deleting.wait(PATIENCE)
    edge.wait_for_line(method="DELETE")  # its call has ended
    for key in ("k-test", "k-other") * 20:
        refused = call(edge, "/v2/box/box/preview", key=key, method="POST", body=wish)
        assert (refused.status, error(refused)) == (409, "box_being_deleted")
    api.hold.set()
    edge.wait_until(lambda: "box" not in api.boxes, what="the deletion")
    edge.wait_until(lambda: call(edge, "/v2/box/box/preview", method="POST", body=wish).status == 404,
                    what="the API's word")
    assert previews(edge) == ["box_3", "two"]


@pytest.mark.parametrize("path, body", [("/v2/box/box", b""), ("/v2/box", many("two", "box"))], ids=["one", "many"])
@pytest.mark.parametrize("first", ["preview", "deletion"])
def test_no_preview_is_made_by_an_answer_from_before_a_deletion(world, first, path, body):
    """The API allows the call, the box is deleted, and only then the answer comes."""
    api, edge = world
    wish = json.dumps({"port": api.app_port}).encode()
    made, api.held_key = [], "k-held"
    maker = threading.Thread(
        target=lambda: made.append(call(edge, "/v2/box/box/preview", key="k-held", method="POST", body=wish)))
    deleter = threading.Thread(target=lambda: delete(world, path, body))
    if first == "deletion":
        api.hold = threading.Event()
        deleter.start()
        assert api.deleting.wait(PATIENCE)
    maker.start()
    assert api.asked.wait(PATIENCE)
    if first == "deletion":
        api.hold.set()
    else:
        deleter.start()
    deleter.join()
    edge.wait_until(lambda: "box" not in previews(edge), what="the previews to go")
    api.release.set()
    maker.join()
    assert (made[0].status, error(made[0])) == (409, "box_being_deleted")
    assert "box" not in previews(edge)
    api.boxes["box"] = {"id": "box", "name": "again", "status": "idle"}
    again = call(edge, "/v2/box/box/preview", key="k-held", method="POST", body=wish)
    assert again.status in (200, 201), again.body
    assert "box" in previews(edge)


# ---- bodies

def test_bodies_that_are_not_understood_never_go_up(world):
    api, _ = world
    cases = [(b" ", 400, "bad_body"), (b"{", 400, "bad_body"), (b"[]", 400, "bad_body"), (b'{"ids": "box"}', 400, "bad_body"),
             (b'{"ids": [1]}', 400, "bad_body"), (b'{"ids": ["two"], "ids": ["box"]}', 400, "bad_body"),
             (b'{"ids": ["two"], "all": true}', 400, "bad_body"), (many("x" * 257), 400, "bad_body"),
             (b"", 400, "bad_body"), (b"{}", 400, "bad_body"),
             (b'{"ids": {}}', 400, "bad_body"), (b'{"ids": [], "all": true}', 400, "bad_body"), (many("box", ""), 400, "bad_body"),
             (many("box", "."), 400, "bad_body"), (many("box", ".."), 400, "bad_body"),
             (many(*["x"] * 101), 413, "too_many_boxes"), (many("x" * 256) + b" " * 65536, 413, "body_too_large")]
    for body, code, word in cases:
        refused = delete(world, "/v2/box", body)
        assert (refused.status, error(refused)) == (code, word), body[:40]
        assert json.loads(refused.body)["error"]
    for path, word in (("/v2/box?all=true", "bad_query"), ("/v2/box/%2562ox", "misspelled_path"),
                       ("/v2/box/two%3fx", "misspelled_path"), ("/v2/box%3f", "misspelled_path"),
                       ("/v2/box%3fall=true", "misspelled_path"), ("/v2/box/%2e", "misspelled_path")):
        refused = delete(world, path, many("box"))
        assert (refused.status, error(refused)) == (400, word), path
    assert not [r for r in api.requests if r.method.upper() == "DELETE"]


def test_a_handshake_has_no_body_and_names_no_box(tmp_path):
    with RawOrigin(answer("none")) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        shaken = call(edge, "/v2/box", fields=[
            "X-HTTP-Method-Override: DELETE", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="])
        assert (shaken.status, error(shaken)) == (400, "bad_body")
        assert not server.requests


def test_a_body_that_comes_late_and_in_pieces(world):
    api, edge = world
    body = many("box") + b" " * 60000
    with edge.connect("plain", API) as client:
        client.send(f"DELETE /v2/box HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\nExpect: 100-continue\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n".encode())
        assert client.read_message(PATIENCE, "DELETE").status == 100
        for start in range(0, len(body), 20000):
            piece = body[start:start + 20000]
            client.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        client.send(b"0\r\n\r\n")
        assert client.read_message(PATIENCE, "DELETE").status == 200
    assert status(world) == 404
    assert [r.body for r in api.requests if r.method == "DELETE"] == [b'{"ids":["box"]}']


@pytest.mark.parametrize("path", ["/v2/box", "/v2/box/box"])
def test_a_body_without_end_is_refused(world, path):
    _, edge = world
    with edge.connect("plain", API) as client:
        client.send(f"DELETE {path} HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n10000\r\n".encode() + b" " * 65536 + b"\r\n")
        assert client.read_message(PATIENCE, "DELETE").status == 413


def test_snapshots_are_no_boxes(world):
    api, _ = world
    assert delete(world, "/v2/box/snapshots").status == 404
    assert [r.method for r in api.requests] == ["DELETE"]


# ---- the API of the tests, whose client asks in its own way

def test_a_real_api(tmp_path):
    with BoxApi(tmp_path / "boxes", ["k-test"]) as service, Edge(
            tmp_path / "edge", workers=2, config=api_config([service.port])) as edge:
        made = [json.loads(call(edge, method="POST", body=b"{}").body)["id"] for _ in range(3)]
        for box in made:
            assert call(edge, f"/v2/box/{box}/preview", method="POST", body=b'{"port": 3000}').status == 200
        assert call(edge, "/v2/box", method="DELETE", body=many(*made[:2])).status == 200
        edge.wait_until(lambda: previews(edge) == [made[2]], what="two boxes' previews to go")
        refused = call(edge, "/v2/box", method="DELETE", body=many(made[2], made[0]))
        assert refused.status == 404 and previews(edge) == [made[2]]
        assert call(edge, f"/v2/box/{made[2]}", method="DELETE").status == 200
        edge.wait_until(lambda: previews(edge) == [], what="the last one to go")
