"""Node's fetch and the npm package ws against the edge."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from harness import PATIENCE, HttpOrigin, WebSocketOrigin

HERE = pathlib.Path(__file__).parent

pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not (HERE / "node_modules/ws").is_dir(), reason="node or its packages are not there")


def node(edge, what, host, timeout=PATIENCE * 2):
    done = subprocess.run(
        ["node", "client.mjs", what, host, str(edge.port["tls"])], cwd=HERE, capture_output=True, text=True,
        timeout=timeout, check=False, env={**os.environ, "NODE_EXTRA_CA_CERTS": str(edge.ca)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_fetch(edge, preview):
    seen = node(edge, "fetches", preview)
    assert seen["target"] == "/echo?x=1" and seen["mine"] == "1"
    assert seen["posted"] and seen["streamed"] == 1_000_000
    assert seen["large"] == HttpOrigin.pattern_sha256(3_000_000)
    assert seen["events"] == 5
    assert seen["many"] == [f"/echo?i={i}" for i in range(50)]


def test_fetch_that_is_aborted(edge, preview):
    node(edge, "aborts", preview)
    assert edge.wait_for_line(host=f"{preview}:{edge.port['tls']}")["end"] == "client_gone"


def test_ws(edge):
    with WebSocketOrigin() as origin:
        host = edge.create_preview(origin)
        seen = node(edge, "sockets", host)
        assert seen == {"equal": True, "pong": "there?", "closed": [4002, "enough"]}
        edge.wait_until(lambda: origin.closes, what="the close")
        assert origin.closes == [(4002, "enough")]


def test_ws_that_is_refused(edge):
    assert node(edge, "refused", "box-1.preview.box.localhost") == {"status": 404}
