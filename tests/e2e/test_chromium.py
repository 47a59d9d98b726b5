"""Headless Chromium on the demo app's page: events, WebSocket and upload work, the certificate is trusted as
a user would trust it, and the browser reports no error. BOXEDGE_SCREENSHOT keeps the picture at that path."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from harness import BINARY, PATIENCE, PORTS, SLOW
from quiet_network import without_netlink

HERE = pathlib.Path(__file__).parent

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("node", "chromium", "certutil"))) or not (HERE / "node_modules/playwright-core").is_dir(),
    reason="chromium, certutil, node or its packages are not there")


@pytest.fixture
def demo_app():
    port = PORTS.take()
    process = subprocess.Popen([str(BINARY), "demo-app", "--port", str(port)], stdin=subprocess.DEVNULL)
    yield port
    process.terminate()
    assert process.wait(PATIENCE) == 0


def trusting_home(directory, ca):
    """A home folder whose certificate store trusts the authority."""
    store = directory / "home/.pki/nssdb"
    store.mkdir(parents=True)
    certutil = ["certutil", "-d", f"sql:{store}"]
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    subprocess.run([*certutil, "-A", "-t", "C,,", "-n", "boxedge", "-i", ca], check=True)
    return directory / "home"


def test_the_demo_page(make_edge, demo_app, tmp_path):
    edge = make_edge(workers=2)
    host = edge.create_preview(demo_app)
    edge.wait_until(lambda: edge.get(host).status == 200, what="the demo app")
    picture = os.environ.get("BOXEDGE_SCREENSHOT", tmp_path / "page.png")
    done = subprocess.run(
        ["node", "chromium.mjs", edge.url(host), tmp_path / "profile", picture], cwd=HERE, capture_output=True, text=True,
        timeout=60 * SLOW, check=False, env={**os.environ, "HOME": str(trusting_home(tmp_path, edge.ca))},
        preexec_fn=without_netlink)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["problems"] == []
    assert (seen["status"], seen["protocol"]) == (200, "h2")
    assert hashlib.sha256(b"\0" * (8 << 20)).hexdigest() in seen["upload"] and seen["bar"] == 1
    assert any("x-forwarded-proto" in row and "https" in row for row in seen["fields"])
    upload = edge.wait_for_line(path="/upload")
    assert upload["http"] == "2" and upload["request_bytes"] == 8 << 20
    # The page is closed: its stream and its WebSocket end.
    assert edge.wait_for_line(path="/events")["http"] == "2"
    assert edge.wait_for_line(path="/echo")["tunnel"]
