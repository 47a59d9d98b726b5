"""A store with wrong bits: each one is refused, answered with 503 or said by /readyz, or changes no answer."""

import json

import pytest

from harness import DOMAIN, Edge, HttpOrigin


@pytest.fixture(name="world")
def _world(tmp_path):
    with HttpOrigin() as app, Edge(tmp_path, workers=2, boxes=[{"id": i, "address": "127.0.0.1"} for i in ("one", "two")]) as edge:
        edge.create_preview(app, "one", "--label", "marked")
        edge.create_preview(app, "two")
        yield edge, app.port


def get(world, box):
    edge, port = world
    return edge.get(f"{box}-{port}.{DOMAIN}", "/echo")


def replace_in(file, before, after):
    pages = file.read_bytes()
    assert before in pages and len(before) == len(after)
    file.write_bytes(pages.replace(before, after))


def test_a_damaged_record(world):
    """Its preview gets 503 and one message, however many workers meet it; all else is served."""
    edge, port = world
    edge.stop()
    replace_in(edge.state_dir / "store/data.mdb", b"marked", b"merked")
    edge.start()
    for _ in range(20):
        refused = get(world, "one")
        assert refused.status == 503 and json.loads(refused.body)["code"] == "preview_damaged", refused
        assert get(world, "two").status == 200
    told = [line for line in edge.stderr.lines if "preview_damaged" in line]
    assert len(told) == 1 and "the record of one is damaged" in told[0], told
    # The message names a remedy.
    edge.command("preview", "create", "one", port, "--public")
    assert get(world, "one").status == 200
