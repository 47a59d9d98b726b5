"""The API host: links to previews, which the edge makes itself."""

import json
from urllib.parse import urlsplit

import pytest

from access_world import App
from api_world import answer, api_config, call, error
from harness import Edge, RawOrigin
from links_world import COOKIE, ask, session_in

OWNER, OTHER = "k-one", "k-two"


def serve(conn):
    """An API in which k-one has "box" and k-two "theirs"."""
    while (request := conn.read_request(3600)) is not None:
        box = request.target.split("/")[3] if request.target.count("/") > 2 else ""
        mine = {OWNER: "box", OTHER: "theirs"}.get(request.get("x-box-api-key")) == box
        conn.send(answer(json.dumps({"id": box, "status": "running"})) if mine else answer("{}", "404 Not Found"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    boxes = [{"id": name, "address": "127.0.0.1"} for name in ("box", "theirs")]
    with RawOrigin(serve) as api, App() as app:
        boxes = [box | {"ports": [app.port, 81, 82]} for box in boxes]
        config = api_config([api.port], api={"previews": True})
        with Edge(tmp_path_factory.mktemp("links"), workers=2, config=config, boxes=boxes) as edge:
            edge.command("preview", "create", "box", app.port, "--bearer")
            edge.command("preview", "create", "theirs", app.port, "--bearer")
            yield edge, app


def links(edge, port, wish=None, method="GET", key=OWNER, below="", box="box"):
    body = json.dumps(wish).encode() if isinstance(wish, dict) else wish or b""
    return call(edge, f"/v2/box/{box}/preview/{port}/links{below}", key=key, method=method, body=body,
                fields=["Content-Type: application/json"])


def test_links_are_made_listed_and_revoked(world):
    edge, app = world
    made = links(edge, app.port, {"expires_in": 3600, "path": "/x", "label": "for you", "read_only": True}, "POST")
    assert made.status == 200 and made.get("cache-control") == "no-store", made.body
    link = json.loads(made.body)
    url = urlsplit(link["url"])
    assert url.hostname == edge.host(app) and url.port == edge.port["tls"] and link.keys() == {"id", "url", "expires_at"}
    opened = ask("h2", edge, url.hostname, f"{url.path}?{url.query}")
    assert opened.status == 303 and opened.get("location").endswith("/x")
    cookie = f"Cookie: {COOKIE}={session_in(opened)}"
    assert ask("h2", edge, url.hostname, fields=[cookie]).status == 200
    assert ask("h2", edge, url.hostname, "/", "POST", [cookie], b"x").status == 405
    (listed,) = json.loads(links(edge, app.port).body)["links"]
    assert (listed["id"], listed["opened"], listed["label"], listed["read_only"]) == (link["id"], 1, "for you", True)
    assert url.query.split(".")[1] not in json.dumps(listed)
    gone = links(edge, app.port, method="DELETE", below="/" + link["id"])
    assert (gone.status, json.loads(gone.body)) == (200, {"revoked": True, "id": link["id"]})
    assert ask("h2", edge, url.hostname, fields=[cookie]).status == 401
    gone = links(edge, app.port, method="DELETE", below="/" + link["id"])
    assert (gone.status, error(gone)) == (404, "link_not_found")
    assert json.loads(links(edge, app.port).body) == {"links": []}
    assert url.query.split(".")[1] not in "".join(map(str, edge.access.lines + edge.stderr.lines))


def test_links_belong_to_whom_the_upstream_lets_see_the_box(world):
    edge, app = world
    made = json.loads(links(edge, app.port, {}, "POST").body)
    for method, wish, below in (("GET", None, ""), ("POST", {}, ""), ("DELETE", None, "/" + made["id"])):
        assert links(edge, app.port, wish, method, OTHER, below).status == 404
    # A link of another box is not found under the caller's own.
    assert error(links(edge, app.port, None, "DELETE", OTHER, "/" + made["id"], "theirs")) == "link_not_found"
    assert [link["id"] for link in json.loads(links(edge, app.port).body)["links"]] == [made["id"]]
    assert links(edge, app.port, None, "DELETE", below="/" + made["id"]).status == 200


def test_what_is_wrong_with_a_link_is_said(world):
    edge, app = world
    for wish in (b"", b"[]", {"expires_in": 0}, {"expires_in": 366 * 86400 + 1}, {"expires_in": "1"}, {"path": "x"},
                 {"path": "//x"}, {"path": 1}, {"path": "/" + 512 * "x"}, {"label": "a\nb"}, {"label": 129 * "x"}, {"once": 1},
                 {"allow_websocket": True}):
        refused = links(edge, app.port, wish, "POST")
        assert (refused.status, error(refused)) == (400, "bad_body"), wish
    assert error(links(edge, 81, {}, "POST")) == "preview_not_found" == error(links(edge, 81))
    assert error(links(edge, 0, {}, "POST")) == "bad_port"
    assert error(links(edge, app.port, None, "DELETE", below="/x")) == "link_not_found"
    assert links(edge, app.port, None, "PUT").get("allow") == "GET, HEAD, POST"
    assert links(edge, app.port, None, "POST", below="/0123456789abcdef").get("allow") == "DELETE"
    assert error(call(edge, f"/v2/box/box/preview/{app.port}/%6cinks", key=OWNER)) == "misspelled_path"
    edge.command("preview", "create", "box", 82, "--public")
    assert error(links(edge, 82, {}, "POST")) == "preview_is_public"


def test_a_hundred_links(world):
    edge, app = world
    edge.command("preview", "create", "box", app.port, "--bearer")
    for _ in range(100):
        assert links(edge, app.port, {}, "POST").status == 200
    refused = links(edge, app.port, {}, "POST")
    assert (refused.status, error(refused)) == (409, "too_many_links")
