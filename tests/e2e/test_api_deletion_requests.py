"""The API host: a call that deletes boxes is forwarded only with the parts that the API's GET has shown. The edge
refuses other forms of deletion."""

import contextlib
import json
from urllib.parse import quote, unquote

import pytest

from api_world import API, answer, api_config, call, error
from harness import Edge, HttpOrigin, local_box
from test_api_deletions import ABSENT, IDS, Api, delete, many, previews, status


class ExactApi(Api):
    """A box API that reads a path literally. `refused`: an answer, for a GET of this path."""

    refused = {}

    def serve(self, conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            if request.method == "GET" and request.target in self.refused:
                conn.send(self.refused[request.target])
                continue
            name = unquote(request.target.rpartition("/")[2])
            one = self.find(name, request.method)
            names = json.loads(request.body)["ids"] if request.target == "/v2/box" else [name]
            if request.method == "DELETE":
                for box in [self.find(name, "DELETE") for name in names]:
                    del self.boxes[box["id"]]
            conn.send(answer(json.dumps(one or {"error": ABSENT}), "200 OK" if one or request.method == "DELETE" else
                             "404 Not Found"))


@contextlib.contextmanager
def serving(tmp_path, kind):
    with HttpOrigin() as app, kind() as api, Edge(tmp_path, workers=2, config=api_config([api.port]),
                                                  boxes=[local_box(i, app) for i in IDS]) as edge:
        for box in IDS:
            edge.create_preview(app.port, box)
        api.app_port = app.port
        yield api, edge


@pytest.fixture(name="world")
def _world(tmp_path):
    with serving(tmp_path, Api) as world:
        yield world


@pytest.fixture(name="exact")
def _exact(tmp_path):
    with serving(tmp_path, ExactApi) as world:
        yield world


def sent(api, method):
    return [r for r in api.requests if r.method.upper() == method]


def parts(request):
    own = ("host", "x-request-id", "cdn-loop", "content-length")
    return {(name.lower(), value) for name, value in request.fields if name.lower() not in own}


def check_untouched(world):
    api, edge = world
    assert not sent(api, "DELETE") and sorted(api.boxes) == previews(edge) == sorted(IDS)
    assert {status(world, box) for box in IDS} == {200}


# ---- the parts of the request

FIELDS = ["Cookie: box=two", "X-Box-Id: two", "X-Forwarded-Host: two.example", "Content-Language: en",
          "Accept: text/html", "User-Agent: a-client/1", "Origin: https://page.example", "Connection: user-agent",
          "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 'If-Match: "v7"']


@pytest.mark.parametrize("path, body, target, ids", [
    ("/v2/box/box", b"", "/v2/box/box", None),
    ("/v2/box/box?", b" {}\r\n", "/v2/box/box", None),
    ("//v2/BOX/n%61me-of-box/;x", b"", "/v2/box/box", None),
    ("/v2/box", many("box"), "/v2/box", ["box"]),
    ("/v2//b%6fx/?", b' {"ids": ["name-of-\\u0062ox", "box"]}\n', "/v2/box", ["box"])],
    ids=["one", "one-empty", "one-spelling", "many", "many-spelling"])
def test_a_deletion_has_the_parts_of_its_get(world, path, body, target, ids):
    """And the client's conditions, which can only prevent it."""
    api, _ = world
    assert delete(world, path, body, fields=FIELDS).status == 200
    [request] = sent(api, "DELETE")
    shown = sent(api, "GET")[-1]
    more = {("if-match", '"v7"'), *([("content-type", "application/json")] if ids else [])}
    assert parts(request) == parts(shown) | more
    assert {name for name, _ in parts(shown)} >= {"x-box-api-key", "user-agent", "origin", "traceparent", "accept"}
    assert (request.target, json.loads(request.body or b"null")) == (target, ids and {"ids": ids})
    assert sorted(api.boxes) == ["box_3", "two"]


@pytest.mark.parametrize("path, body, word", [
    ("/v2/box/box?force=1", b"", "bad_query"), ("/v2/box/box?id=two", b"", "bad_query"),
    ("/v2/box?all=true", many("box"), "bad_query"), ("/v2/box/box", b'{"id": "two"}', "bad_body"),
    ("/v2/box/box", many("two"), "bad_body"), ("/v2/box/box", b"id=two", "bad_body"), ("/v2/box/box", b"[]", "bad_body")])
def test_a_query_and_a_body_that_the_get_cannot_have(world, path, body, word):
    """Without them it would be another call: they may ask for a rehearsal."""
    refused = delete(world, path, body)
    assert (refused.status, error(refused)) == (400, word)
    check_untouched(world)


def test_a_handshake_deletes_no_box(world):
    refused = call(world[1], "/v2/box/box", fields=[
        "X-HTTP-Method-Override: DELETE", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="])
    assert (refused.status, error(refused)) == (400, "bad_body")
    check_untouched(world)


# ---- ids without previews

@pytest.mark.parametrize("box", ["Box", "box.eu", "a" * 58, "b\u00f6/x", "-box"])
@pytest.mark.parametrize("by", ["id", "name", "many"])
def test_a_box_whose_id_is_no_label(exact, box, by):
    """It can have no preview, so no record is made."""
    api, edge = exact
    api.boxes[box] = {"id": box, "name": "odd", "status": "idle"}
    path = {"id": "/v2/box/" + quote(box, safe=""), "name": "/v2/box/odd", "many": "/v2/box"}[by]
    gone = delete(exact, path, many("odd", "two") if by == "many" else b"")
    assert gone.status == 200, gone.body
    left = ["box", "box_3"] if by == "many" else sorted(IDS)
    assert sorted(api.boxes) == left
    edge.wait_until(lambda: previews(edge) == left, what="the previews of the other box to go")


@pytest.mark.parametrize("box", [".", "..", "x" * 257, ""])
def test_an_id_that_no_call_can_name(exact, box):
    api, _ = exact
    api.boxes["odd"] = {"id": box, "name": "odd", "status": "idle"}
    refused = delete(exact, "/v2/box/odd")
    assert (refused.status, error(refused)) == (502, "bad_response")
    assert not sent(api, "DELETE")


def test_a_refusal_may_come_after_the_box_without_previews_is_gone(world):
    """One record, and two boxes."""
    api, edge = world
    api.boxes["two.eu"] = {"id": "two.eu", "name": "odd", "status": "idle"}
    api.statuses["DELETE"] = "409 Conflict"
    assert delete(world, "/v2/box", many("odd", "box")).status == 409
    del api.boxes["box"]
    edge.wait_until(lambda: call(edge, "/v2/box/box").status == 404 and previews(edge) == ["box_3", "two"],
                    what="the preview of the box that is gone to go")
    assert status(world) == 404


# ---- a list

def test_an_empty_list_deletes_nothing(world):
    """The SDK sends it for an empty array. An API could take it for all boxes."""
    for body in (many(), b' {"ids" : []}\n'):
        done = delete(world, "/v2/box", body)
        assert (done.status, json.loads(done.body)) == (200, {})
    check_untouched(world)


@pytest.mark.parametrize("name, shown", [
    ("absent", "absent"), ("no such \u00f6\x1b[31m", "no%20such%20%C3%B6%1B%5B31m"), ("x" * 256, "x" * 96 + "...")],
    ids=["plain", "bytes", "long"])
@pytest.mark.parametrize("line", ["404 Not Found", "403 Forbidden"])
@pytest.mark.parametrize("text, rest", [(json.dumps({"error": ABSENT, "hint": 7}), ABSENT), ("gone", "the API refused it.")])
def test_a_refusal_names_the_box(exact, name, shown, line, text, rest):
    api, _ = exact
    api.refused = {"/v2/box/" + quote(name): answer(text, line, ["X-Secret: 1", "Retry-After: 7"])}
    refused = delete(exact, "/v2/box", many("box", name, "two"))
    body = json.loads(refused.body)
    assert (refused.status, refused.get("retry-after")) == (int(line[:3]), "7")
    assert body["error"] == f"Box {shown}: {rest}" and body.get("hint") == (7 if rest == ABSENT else None)
    check_untouched(exact)


@pytest.mark.parametrize("shown", ["{}", '{"id": ""}'])
def test_an_unusable_answer_about_a_box_of_a_list(exact, shown):
    api, _ = exact
    api.refused = {"/v2/box/name-of-two": answer(shown)}
    refused = delete(exact, "/v2/box", many("box", "name-of-two"))
    assert (refused.status, error(refused)) == (502, "bad_response")
    assert json.loads(refused.body)["error"] == "The API's answer about box name-of-two cannot be used."
    check_untouched(exact)


@pytest.mark.parametrize("text", [json.dumps({"error": "Too many requests."}), "", "x" * 70_000], ids=["json", "none", "long"])
@pytest.mark.parametrize("limited", ["box", "name-of-two", "box_3", "two"])
def test_the_api_limits_the_questions(exact, limited, text):
    """Whichever of them it refuses. A page of over 64 KiB is left out."""
    api, _ = exact
    api.refused = {f"/v2/box/{limited}": answer(text, "429 Too Many Requests", ["Retry-After: 7"])}
    refused = delete(exact, "/v2/box", many("box", "name-of-two", "box_3"))
    assert (refused.status, refused.get("retry-after")) == (429, "7")
    assert refused.body.decode() == (text if len(text) < 65536 else "")
    check_untouched(exact)


def test_the_api_limits_most_of_the_questions(exact):
    """A hundred of them use up the rate of the key."""
    api, _ = exact
    names = [f"odd-{number}" for number in range(100)]
    api.boxes.update({name: {"id": name, "name": name, "status": "idle"} for name in names})
    api.refused = {f"/v2/box/{name}": answer("", "429 Too Many Requests", ["Retry-After: 7"]) for name in names[40:]}
    refused = delete(exact, "/v2/box", many(*names))
    assert (refused.status, refused.get("retry-after")) == (429, "7")
    assert not sent(api, "DELETE")


# ---- a method in a form

CURL = "Content-Type: application/x-www-form-urlencoded"
OPAQUE = ["Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-16", "Content-Type: multipart/form-data; boundary=b",
          "Content-Type: ,application/x-www-form-urlencoded", "Content-Type: application/json\r\nContent-Type: multipart/mixed",
          "Content-Type: application/json\r\nConnection: close, Content-Type"]
FORMS = [(CURL, body) for body in (b"_method=DELETE", b"a=1&_METHOD=delete", b"%5fm%65thod=DELETE", b".method=DELETE",
                                   b"a=1;+[method=%44ELETE", b"%5fmetho%64")] + [(form, b"{}") for form in OPAQUE]


def post(edge, path, *fields, body=b"{}", method="POST"):
    return edge.get(API, path, method=method, body=body, fields=["X-Box-Api-Key: k-test", *fields])


@pytest.mark.parametrize("path", ["/v2/box", "/v2/box/box", "/V2//b%6fx/box/"])
@pytest.mark.parametrize("method", ["POST", "post"])
def test_a_form_for_boxes_that_may_name_a_method(world, path, method):
    """Rails and Laravel read the method there."""
    api, edge = world
    for form, body in FORMS:
        refused = post(edge, path, form, body=body, method=method)
        assert (refused.status, error(refused)) == (415, "unsupported_media_type"), (form, body)
    assert not api.requests
    check_untouched(world)


def test_json_in_the_default_form_of_curl(world):
    api, edge = world
    body = json.dumps({"init_command": "x" * 60_000}).encode()
    post(edge, "/v2/box", CURL, "Expect: 100-continue", body=body)
    [request] = api.requests
    assert (request.method, request.body, request.get("content-type")) == ("POST", body, CURL.split(": ")[1])


@pytest.mark.parametrize("framing, start", [("Content-Length: 65536", b""), ("Transfer-Encoding: chunked", b"10000\r\n")])
def test_a_form_without_end_is_refused(world, framing, start):
    api, edge = world
    with edge.connect("plain", API) as client:
        client.send(f"POST /v2/box HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n{CURL}\r\n{framing}\r\n\r\n".encode()
                    + start + b" " * 65536)
        refused = client.read_message()
    assert (refused.status, error(refused)) == (413, "body_too_large") and not api.requests


@pytest.mark.parametrize("path", ["/v2/box", "/v2/box/box"])
@pytest.mark.parametrize("fields, shown", [([], "application/json"), (["Content-Type:"], "application/json"),
                                           (["Content-Type: text/plain"], "text/plain")])
def test_a_body_without_a_type_is_no_form(world, path, fields, shown):
    """Rack reads a form in it."""
    api, edge = world
    post(edge, path, *fields, body=b"_method=DELETE")
    [request] = api.requests
    assert [value for name, value in request.fields if name.lower() == "content-type"] == [shown]


def test_forms_below_a_box_pass(world):
    api, edge = world
    for number, form in enumerate((CURL, *OPAQUE[:3])):
        post(edge, "/v2/box/box/files/upload", form, body=b"_method=DELETE")
        assert api.requests[number].get("content-type") == form.split(": ")[1]
