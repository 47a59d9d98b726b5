"""The API host: previews, which the edge creates itself."""

import json
import os
import signal
import threading
import time

import pytest

from api_world import answer, api_config, call, error
from boxapi.service import BoxApi
from harness import Edge, RawOrigin
from processes import ends_whole, upgrade


@pytest.fixture(name="boxes")
def _boxes(tmp_path):
    with BoxApi(tmp_path / "boxes", ["k-one", "k-two"]) as service:
        with Edge(tmp_path / "edge", workers=2, config=api_config([service.port])) as edge:
            yield service, edge


def make_box(edge, key="k-one", **wishes):
    made = call(edge, key=key, method="POST", body=json.dumps(wishes).encode(), fields=["Content-Type: application/json"])
    assert made.status == 201, made.body
    return json.loads(made.body)["id"]


def preview(edge, box, wish, key="k-one", method="POST", below=""):
    body = json.dumps(wish).encode() if isinstance(wish, dict) else wish
    return call(edge, f"/v2/box/{box}/preview{below}", key=key, method=method, body=body or b"",
                fields=["Content-Type: application/json"])


def test_previews_are_created_listed_and_deleted(boxes):
    _, edge = boxes
    box = make_box(edge)
    made = preview(edge, box, {"port": 3000, "bearer_token": True, "basic_auth": True})
    assert made.status == 200, made.body
    data = json.loads(made.body)
    assert data["url"] == f"https://{box}-3000.preview.box.localhost:{edge.port['tls']}"
    assert (data["port"], data["username"]) == (3000, "user")
    assert len(data["token"]) >= 32 and len(data["password"]) >= 32
    assert json.loads(preview(edge, box, {"port": 4000}).body).keys() == {"url", "port"}
    listed = json.loads(preview(edge, box, None, method="GET").body)["previews"]
    assert [(p["id"], p["bearer_token"], p["basic_auth"]) for p in listed] == [
        (f"{box}-3000", True, True), (f"{box}-4000", False, False)]
    assert data["token"] not in json.dumps(listed) and abs(listed[0]["created_at"] - time.time()) < 60
    again = json.loads(preview(edge, box, {"port": 3000, "bearer_token": True}).body)
    assert again["token"] != data["token"] and "password" not in again
    assert preview(edge, box, None, method="DELETE", below="/3000").status == 200
    gone = preview(edge, box, None, method="DELETE", below="/3000")
    assert (gone.status, error(gone)) == (404, "preview_not_found")
    assert data["token"] not in "".join(map(str, edge.access.lines + edge.stderr.lines))


def test_previews_belong_to_whom_the_upstream_lets_see_the_box(boxes):
    _, edge = boxes
    box = make_box(edge)
    assert preview(edge, box, {"port": 3000}).status == 200
    for method, below in (("POST", ""), ("GET", ""), ("DELETE", "/3000")):
        other = preview(edge, box, {"port": 3000} if method == "POST" else None, key="k-two", method=method, below=below)
        assert other.status == 404 and "error" in json.loads(other.body)
        wrong = preview(edge, box, {"port": 3000} if method == "POST" else None, key="wrong", method=method, below=below)
        assert wrong.status == 401
    assert len(json.loads(preview(edge, box, None, method="GET").body)["previews"]) == 1


def test_what_is_wrong_with_a_preview_is_said(boxes):
    _, edge = boxes
    box = make_box(edge)
    for body, code in ((b"", "bad_body"), (b"{", "bad_body"), (b"[]", "bad_body"), ({"port": 0}, "bad_port"),
                       ({"port": 65536}, "bad_port"), ({"port": "3000"}, "bad_port"), ({}, "bad_port"),
                       ({"port": 80, "bearer_token": 1}, "bad_access"), ({"port": 80, "basic_auth": "x"}, "bad_access")):
        refused = preview(edge, box, body)
        assert (refused.status, error(refused)) == (400, code), body
    for path in (f"/v2/box/{box}/preview/", f"/v2//box/{box}/preview", f"/v2/box/{box}/%70review", f"/v2/box/{box}%2Fpreview",
                 f"/v2/box/{box}/./preview", f"/V2/box/{box}/preview"):
        refused = call(edge, path, key="k-one")
        assert (refused.status, error(refused)) == (400, "misspelled_path"), path
    for method, below, allowed in (("PUT", "", "GET, HEAD, POST"), ("DELETE", "", "GET, HEAD, POST"),
                                   ("GET", "/3000", "DELETE"), ("POST", "/3000", "DELETE")):
        refused = preview(edge, box, None, method=method, below=below)
        assert (refused.status, refused.get("allow")) == (405, allowed)
    refused = preview(edge, box, None, method="DELETE", below="/0")
    assert (refused.status, error(refused)) == (400, "bad_port")
    refused = preview(edge, "Upper", {"port": 1})
    assert (refused.status, error(refused)) == (400, "bad_box")
    refused = preview(edge, box, b"x" * 70000)
    assert refused.status == 413


def test_long_and_ephemeral_boxes(tmp_path):
    name = "x" * 57

    def api(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            ephemeral = "ephemeral" in request.target
            conn.send(answer(json.dumps({"id": "x", "status": "idle", "ephemeral": ephemeral})))

    with RawOrigin(api) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        assert preview(edge, name, {"port": 80}, key="k").status == 200
        assert preview(edge, name, {"port": 65535}, key="k").status == 200  # 57, a dash and five digits are 63
        refused = preview(edge, name + "x", {"port": 80}, key="k")
        assert (refused.status, error(refused)) == (400, "bad_box")
        refused = preview(edge, "ephemeral-1", {"port": 80}, key="k")
        assert (refused.status, error(refused)) == (400, "box_ephemeral")
        assert preview(edge, "ephemeral-1", None, key="k", method="GET").status == 200


def test_a_paused_box_is_resumed_and_a_deleted_one_takes_its_previews_with_it(boxes):
    service, edge = boxes
    box = make_box(edge)
    assert call(edge, f"/v2/box/{box}/pause", key="k-one", method="POST").status < 300
    assert service.boxes.find(box).status == "paused"
    assert preview(edge, box, {"port": 3000}).status == 200
    assert service.boxes.find(box).status != "paused"
    assert preview(edge, box, {"port": 3001}).status == 200
    assert len(json.loads(edge.command("preview", "list", "--json"))["previews"]) == 2
    assert call(edge, f"/v2/box/{box}", key="k-one", method="DELETE").status < 300
    edge.wait_until(lambda: not json.loads(edge.command("preview", "list", "--json"))["previews"], what="no previews")
    assert preview(edge, box, None, method="GET").status == 404


def test_a_name_that_is_the_id_of_anothers_box(tmp_path):
    """An upstream may find a box by its name among its caller's boxes, and a caller may choose any name."""
    box = {"id": "mine", "name": "box", "status": "idle"}

    def api(conn):
        while conn.read_request(timeout=3600) is not None:
            conn.send(answer(json.dumps(box)))

    with RawOrigin(api) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        edge.create_preview(3000, "box", "--bearer")

        def listed():
            return [p["box"] for p in json.loads(edge.command("preview", "list", "--json"))["previews"]]

        assert json.loads(preview(edge, "box", None, method="GET").body) == {"previews": []}
        made = json.loads(preview(edge, "box", {"port": 3000}).body)
        assert made["url"].startswith("https://mine-3000.") and listed() == ["box", "mine"]
        assert [preview(edge, "box", None, method="DELETE", below="/3000").status for _ in range(2)] == [200, 404]
        assert listed() == ["box"]
        # A deletion of the box includes its own previews.
        assert preview(edge, "mine", {"port": 80}).status == 200
        assert call(edge, "/v2/box/box", method="DELETE").status == 200
        # A preview request that arrives before the controller has recorded the end of the deletion is refused
        # (409), to be retried.
        edge.wait_until(lambda: preview(edge, "mine", {"port": 81}).status == 200, what="a preview after the deletion")
        assert listed() == ["box", "mine"]
        for box["id"] in ("Upper", "a/b", "x" * 58, ""):
            refused = preview(edge, "other", {"port": 80})
            assert (refused.status, error(refused)) == (502, "bad_response")


def test_the_upstreams_word_about_a_box_may_be_of_no_use(tmp_path):
    """Too long, cut, no JSON, another success, refused on resume: no preview results."""
    box = json.dumps({"id": "x", "status": "paused"})
    texts = {"long": "x" * 70000, "text": "hello", "list": "[1]"}
    statuses = {"soon": "202 Accepted", "part": "206 Partial Content", "moved": "301 Moved Permanently"}
    heads = {"empty": "204 No Content", "tunnel": "101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket",
             "hints": "103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints", "big": "200 OK\r\nX: " + "x" * 70000,
             "cut": "200 OK\r\nContent-Length: 100\r\n\r\n{", "chunks": "200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz"}

    def api(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            name = request.target.split("/")[3]
            if name in heads:
                conn.send(f"HTTP/1.1 {heads[name]}\r\n\r\n".encode())
                return
            if request.method == "POST":
                conn.send(answer('{"error": "Your plan has no more boxes."}', "409 Conflict",
                                 ["Content-Type: application/json"]))
            else:
                conn.send(answer(texts.get(name, box), statuses.get(name, "200 OK")))

    with RawOrigin(api) as server, Edge(tmp_path, config=api_config([server.port])) as edge:
        for name in (*texts, *heads, "soon", "part"):
            refused = preview(edge, name, {"port": 80}, key="k")
            assert refused.status == 502 and error(refused) in ("bad_response", "origin_closed"), name
        assert preview(edge, "moved", {"port": 80}, key="k").status == 301
        refused = preview(edge, "asleep", {"port": 80}, key="k")
        assert (refused.status, json.loads(refused.body)) == (409, {"error": "Your plan has no more boxes."})
        assert json.loads(edge.command("preview", "list", "--json"))["previews"] == []
        edge.config["api"]["previews"] = False
        edge.write_config()
        edge.command("reload")
        passed = preview(edge, "x", {"port": 80}, key="k")
        assert passed.status == 409 and server.requests[-1].target == "/v2/box/x/preview"


def test_an_upstream_in_another_place_of_the_list(tmp_path):
    """A reload that gives an upstream's place to another one sends no request to the wrong servers, and loses
    none."""
    with RawOrigin(answer("right")) as right, RawOrigin(answer("wrong")) as wrong:
        config = api_config([right.port], api={"upstream": "api"})
        config["upstreams"].append({"name": "other", "servers": [f"127.0.0.1:{wrong.port}"]})
        with Edge(tmp_path, workers=2, config=config) as edge:
            seen, stop = [], threading.Event()

            def ask():
                while not stop.is_set():
                    seen.append(call(edge))

            askers = [threading.Thread(target=ask) for _ in range(3)]
            for asker in askers:
                asker.start()
            for _ in range(6):
                edge.config["upstreams"].reverse()
                edge.write_config()
                edge.command("reload")
            stop.set()
            for asker in askers:
                asker.join()
            assert {(r.status, r.body) for r in seen} == {(200, b"right")} and len(seen) > 10
            assert not wrong.requests


def test_previews_without_a_controller(boxes):
    _, edge = boxes
    box = make_box(edge)
    edge.expect_deaths = True
    os.kill(edge.pids("controller")[0], signal.SIGSTOP)
    stopped = edge.pids("controller")[0]
    try:
        assert preview(edge, box, None, method="GET").status == 200
        refused = preview(edge, box, {"port": 3000})
        assert (refused.status, error(refused)) == (503, "controller_unavailable")
        assert refused.get("retry-after")
    finally:
        try:
            os.kill(stopped, signal.SIGCONT)
        except ProcessLookupError:
            pass
    edge.wait_until(lambda: preview(edge, box, {"port": 3000}).status == 200, what="a controller")


def test_an_upgrade_fails_no_call(boxes):
    """Calls come all the time, also while neither controller lives."""
    _, edge = boxes
    names = [make_box(edge) for _ in range(4)]
    ended, failures, done = threading.Event(), [], []

    def create_and_delete(box):
        while not ended.is_set():
            for method, below, body in (("POST", "", {"port": 3000}), ("DELETE", "/3000", None)):
                got = preview(edge, box, body, method=method, below=below)
                (done if got.status == 200 else failures).append((method, got.start, got.body))

    with ends_whole(edge):
        threads = [threading.Thread(target=create_and_delete, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        for _ in range(3):
            goal = len(done) + 20
            edge.wait_until(lambda: len(done) >= goal, what=f"more calls ({failures[-2:]})")
            upgrade(edge)
        goal = len(done) + 20
        edge.wait_until(lambda: len(done) >= goal, what=f"more calls ({failures[-2:]})")
        ended.set()
        for thread in threads:
            thread.join()
        assert failures == []
