"""Aliases: host labels that stand for ids of boxes which many apps refuse in host names."""

import json
import subprocess

import pytest

from api_world import answer, api_config, call, error
from harness import BINARY, DOMAIN, Edge, HttpOrigin, RawOrigin


@pytest.fixture(name="world")
def _world(tmp_path):
    with HttpOrigin() as app, Edge(tmp_path, workers=2, boxes=[
            {"id": i, "address": "127.0.0.1"} for i in ("box_abc", "other_abc", "plain")]) as edge:
        yield edge, app.port


def create(world, box, *options, check=True):
    edge, port = world
    return edge.command("preview", "create", box, port, "--json", *options, check=check)


def get(world, name, path="/echo", **options):
    edge, port = world
    return edge.get(f"{name}-{port}.{DOMAIN}", path, **options)


def refused(world, box, *options):
    """The edge's answer for a preview that it does not have."""
    with pytest.raises(AssertionError) as said:
        create(world, box, *options)
    return str(said.value)


def test_an_alias_is_the_previews_name(world):
    edge, port = world
    assert get(world, "box-abc").status == 404
    made = json.loads(create(world, "box_abc", "--alias", "box-abc"))
    assert made["url"] == f"https://box-abc-{port}.{DOMAIN}:{edge.port['tls']}/"
    assert (made["alias"], made["box"]) == ("box-abc", "box_abc")
    for name in ("box-abc", "BOX-abc", "box_abc"):
        assert get(world, name).status == 200
    assert ["Host", f"box-abc-{port}.{DOMAIN}"] in json.loads(get(world, "box-abc").body)["fields"]
    listed = json.loads(edge.command("preview", "list", "--json"))["previews"]
    assert [(p["url"], p["alias"]) for p in listed] == [(made["url"], "box-abc")]
    # Another port of the box has the name only if it is given.
    assert edge.get(f"box-abc-{port - 1}.{DOMAIN}").status == 404
    # Changes to the preview use the id.
    edge.command("preview", "update", "box_abc", port, "--label", "x")
    assert get(world, "box-abc").status == 200
    edge.command("preview", "delete", "box_abc", port)
    assert get(world, "box-abc").status == 404


def test_no_name_is_made_unasked(world):
    create(world, "box_abc")
    assert [get(world, name).status for name in ("box_abc", "box-abc")] == [200, 404]
    edge, port = world
    create(world, "box_abc", "--alias", "a")
    create(world, "box_abc")  # it replaces the other, with its alias
    assert get(world, "a").status == 404


def test_an_alias_is_reserved_over_the_store(world):
    edge, port = world
    create(world, "box_abc", "--alias", "mine")
    assert "mine" in refused(world, "other_abc", "--alias", "mine")
    assert "plain" in refused(world, "other_abc", "--alias", "plain")  # a box's id
    edge.command("preview", "create", "unknown", 1)
    assert "unknown" in refused(world, "other_abc", "--alias", "unknown")  # has a preview
    assert "alias" in refused(world, "mine")  # and the other way around
    edge.command("preview", "create", "box_abc", 2, "--alias", "mine")  # its own, on another port
    edge.command("preview", "delete", "box_abc", port)
    assert "mine" in refused(world, "other_abc", "--alias", "mine")
    edge.command("preview", "delete", "box_abc", 2)
    create(world, "other_abc", "--alias", "mine")  # no preview carries it any more
    assert get(world, "mine").status == 200


@pytest.mark.parametrize("alias", ["a_b", "-a", "a-", "a.b", "Ä", "x" * 58, "A b", ""])
def test_what_is_no_alias(world, alias):
    refused(world, "box_abc", "--alias", alias)
    assert get(world, "box_abc").status == 404


def test_a_blocked_preview_is_blocked_under_its_alias(world):
    edge, port = world
    create(world, "box_abc", "--alias", "mine")
    for what in (("preview", f"box_abc-{port}"), ("box", "box_abc")):
        edge.command("block", *what)
        assert [get(world, name).status for name in ("mine", "box_abc")] == [403, 403]
        edge.command("unblock", *what)
        assert [get(world, name).status for name in ("mine", "box_abc")] == [200, 200]


def test_credentials_under_an_alias(world):
    made = json.loads(create(world, "box_abc", "--alias", "mine", "--bearer"))
    assert get(world, "mine").status == 401
    assert get(world, "mine", fields=[f"Authorization: Bearer {made['token']}"]).status == 200


def test_aliases_live_through_a_restart(world):
    edge, _ = world
    create(world, "box_abc", "--alias", "mine")
    edge.stop()
    edge.start()
    assert get(world, "mine").status == 200


def test_an_underscore_is_warned_of(world):
    edge, port = world
    for options, warned in (((), True), (("--alias", "mine"), False)):
        done = subprocess.run([str(BINARY), "preview", "create", "box_abc", str(port), *options, "-c", str(edge.config_path)],
                              capture_output=True, text=True, check=True)
        assert ("--alias" in done.stderr) == warned


def test_the_api_makes_aliases_where_it_is_told_to(tmp_path):
    def api(conn):
        while (request := conn.read_request(timeout=3600)) is not None:
            conn.send(answer(json.dumps({"id": request.target.split("/")[3], "status": "idle"})))

    with HttpOrigin() as app, RawOrigin(api) as server, Edge(
            tmp_path, config=api_config([server.port], api={"previews_alias": "dash"}), boxes=[
                {"id": i, "address": "127.0.0.1", "ports": [app.port]} for i in ("box_abc", "plain", "taken-1", "taken_1")]) as edge:
        def make(box):
            return call(edge, f"/v2/box/{box}/preview", method="POST", body=json.dumps({"port": app.port}).encode())

        made = json.loads(make("box_abc").body)
        assert made["url"].startswith(f"https://box-abc-{app.port}.")
        listed = json.loads(call(edge, "/v2/box/box_abc/preview").body)["previews"]
        assert [(p["url"], p["id"]) for p in listed] == [(made["url"], f"box_abc-{app.port}")]
        assert edge.get(f"box-abc-{app.port}.{DOMAIN}", "/echo").status == 200
        assert json.loads(make("plain").body)["url"].startswith(f"https://plain-{app.port}.")
        said = make("taken_1")
        assert (said.status, error(said)) == (409, "alias_taken")
        assert json.loads(make("box_abc").body)["url"] == made["url"]
