"""The API host: boxes whose deletion has an unknown outcome. The edge asks the API itself about them
(api.settle_key)."""

import subprocess
import time

import pytest

from api_world import API, api_config, call
from harness import Edge, HttpOrigin, local_box
from test_api_deletions import IDS, Api, delete, eventually, previews, status, unknown
from test_origin_tls import NAME, certificates, over_tls, server_context, tls_config  # noqa: F401 (a fixture)

KEY = "k-settle-2f1c"


@pytest.fixture(name="make")
def _make(tmp_path):
    """make(key=True, **keys of the upstream) -> world, like test_api_deletions; the key's file exists in any
    case."""
    made = []
    key_file = tmp_path / "settle.key"
    key_file.write_text(KEY + "\n")
    key_file.chmod(0o600)

    def make(key=True, **upstream):
        app, api = HttpOrigin(), Api()
        config = api_config([api.port], api={"settle_key": str(key_file)} if key else {}, upstream=upstream)
        edge = Edge(tmp_path, workers=2, config=config, boxes=[local_box(i, app) for i in IDS])
        made.extend((edge, api, app))
        for box in IDS:
            edge.create_preview(app.port, box)
        api.app_port, api.key_file = app.port, key_file
        return api, edge

    yield make
    for part in made:
        part.close()


def questions(api):
    return [r for r in api.requests if r.method == "GET" and r.get("x-box-api-key") == KEY]


def checks(api):
    return [r for r in api.requests if r.target == "/health"]


def wait_checks(world, n):
    """During further checks of the server's health, one a second: the controller makes them, and would also
    ask for boxes."""
    api, edge = world
    before = len(checks(api))
    edge.wait_until(lambda: len(checks(api)) >= before + n, what=f"{n} checks of health")


@pytest.mark.parametrize("way", ["500", "client-left", "worker-died", "all-died"])
@pytest.mark.parametrize("gone", ["404", "deleted"])
def test_the_api_says_that_it_is_gone(make, way, gone, tmp_path):
    api, edge = world = make()
    unknown(world, way, tmp_path)
    if gone == "404":
        del api.boxes["box"]
    else:
        api.boxes["box"]["status"] = "deleted"
    edge.wait_until(lambda: previews(edge) == ["box_3", "two"], what="the previews to go")
    assert status(world) == 404 and status(world, "two") == 200
    assert {(r.target, r.get("host")) for r in questions(api)} == {("/v2/box/box", API)}


@pytest.mark.parametrize("way", ["207", "client-left", "worker-died"])
def test_the_api_says_that_it_is_there(make, way, tmp_path):
    """Not immediately: the API may still be about to delete it."""
    api, _ = world = make()
    began = time.monotonic()
    unknown(world, way, tmp_path)
    eventually(world, "box", 404)
    eventually(world, "box", 200)
    assert time.monotonic() - began > 9
    assert 1 <= len(questions(api)) < 8


def test_a_box_that_is_about_to_go_stays_hidden(make, tmp_path):
    api, edge = world = make()
    api.boxes["box"]["status"] = "deleting"
    unknown(world, "500", tmp_path)
    edge.wait_until(lambda: len(questions(api)) >= 3, what="three questions")
    assert status(world) == 404 and "box" in previews(edge)
    del api.boxes["box"]
    edge.wait_until(lambda: previews(edge) == ["box_3", "two"], what="the previews to go")


@pytest.mark.parametrize("refusal", ["401 Unauthorized", "429 Too Many Requests", "503 Service Unavailable"])
def test_an_api_that_does_not_answer_is_asked_less_and_less(make, refusal, tmp_path):
    api, edge = world = make()
    unknown(world, "500", tmp_path)
    api.statuses["GET"] = refusal
    edge.wait_until(lambda: len(questions(api)) >= 3, what="three questions")
    assert status(world) == 404 and "box" in previews(edge)
    edge.said("cannot be asked")
    del api.boxes["box"]
    del api.statuses["GET"]
    edge.wait_until(lambda: previews(edge) == ["box_3", "two"], what="the previews to go")
    edge.stderr.wait_for(lambda line: "can be asked about deleted boxes again" in line)


def test_a_reload_brings_the_key_and_takes_it(make, tmp_path):
    api, edge = world = make(key=False, health_path="/health", health_interval="1s")
    unknown(world, "500", tmp_path)
    del api.boxes["box"]
    wait_checks(world, 4)
    # The first one with the caller's key.
    assert [r.method for r in api.requests if r.target != "/health"] == ["GET", "DELETE"]
    assert status(world) == 404 and "box" in previews(edge)
    edge.config["api"]["settle_key"] = str(api.key_file)
    edge.write_config()
    edge.command("reload")
    edge.wait_until(lambda: previews(edge) == ["box_3", "two"], what="the previews to go")
    del edge.config["api"]["settle_key"]
    edge.write_config()
    edge.command("reload")
    before = len(questions(api))
    assert delete(world, "/v2/box/two").status == 500
    wait_checks(world, 4)
    assert len(questions(api)) == before and status(world, "two") == 404
    edge.wait_until(lambda: call(edge, "/v2/box/two").status == 200 and status(world, "two") == 200,
                    what="the preview to be back")  # the caller's key still settles it


def test_a_reload_reads_the_key_again(make, tmp_path):
    api, edge = world = make()
    api.key_file.write_text("k-next\n")
    edge.command("reload")
    unknown(world, "500", tmp_path)
    del api.boxes["box"]
    edge.wait_until(lambda: previews(edge) == ["box_3", "two"], what="the previews to go")
    assert "k-next" in {r.get("x-box-api-key") for r in api.requests} and not questions(api)


def test_an_api_over_tls_is_asked(tmp_path, certificates):
    """Its certificate and name are checked, as for callers' requests."""
    key_file = tmp_path / "settle.key"
    key_file.write_text(KEY)
    context = server_context(certificates)
    with HttpOrigin() as app, over_tls(Api(), context) as api:
        config = {**tls_config(certificates, api.port, tls_name=NAME)}
        config["api"] = {**config["api"], "settle_key": str(key_file)}
        with Edge(tmp_path, workers=2, config=config, boxes=[local_box(i, app) for i in IDS]) as edge:
            for box in IDS:
                edge.create_preview(app.port, box)
            unknown((api, edge), "500", tmp_path)
            del api.boxes["box"]
            edge.wait_until(lambda: previews(edge) == ["box_3", "two"], what="the previews to go")
            assert questions(api) and set(context.names) == {NAME}


def test_the_key_is_shown_nowhere(make, tmp_path):
    api, edge = world = make()
    unknown(world, "500", tmp_path)
    api.statuses["GET"] = "403 Forbidden"
    edge.wait_until(lambda: len(questions(api)) >= 2, what="two questions")
    checked = edge.command("check", check=False)
    shown = [checked.stdout, checked.stderr, edge.command("status"),
             subprocess.run(["ps", "axeww"], capture_output=True, check=True, text=True).stdout]
    del api.statuses["GET"]
    edge.stop()
    shown += ["\n".join(edge.stderr.lines), "\n".join(map(str, edge.access.lines))]
    assert not [text for text in shown if KEY in text]
    for path in [*edge.state_dir.rglob("*"), *edge.run_dir.rglob("*"), edge.config_path]:
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
