"""The API host: the request that goes up for a call that deletes boxes has only the parts by which the API's GET has
shown them. What else could delete a box is refused."""

import json

import pytest

from api_world import api_config, call, error
from harness import Edge, HttpOrigin, local_box
from test_api_deletions import IDS, Api, delete, many, previews, status


@pytest.fixture(name="world")
def _world(tmp_path):
    with HttpOrigin() as app, Api() as api, Edge(tmp_path, workers=2, config=api_config([api.port]),
                                                 boxes=[local_box(i, app) for i in IDS]) as edge:
        for box in IDS:
            edge.create_preview(app.port, box)
        api.app_port = app.port
        yield api, edge


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
