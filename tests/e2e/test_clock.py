"""The wall clock jumps ten days for a moment and returns: expired previews are hidden immediately, and no
record is lost."""

import json
import os
import signal
import struct
import subprocess
import time

import pytest
from access_world import COOKIE, base64_text, get, session_in
from api_world import metrics
from harness import PATIENCE, PORTS, ROOT, SLOW, Edge, HttpOrigin, WebSocketOrigin
from processes import said
from test_process_boxes import app
from tunnel_clients import Echoes

TEN_DAYS = 864000


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("clock") / "clock_shift.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library,
                    ROOT / "tests/e2e/clock_shift.c"], check=True, timeout=PATIENCE * SLOW)
    return library


class ShiftedEdge(Edge):
    """An edge whose wall clock the test moves."""

    def __init__(self, directory, shim, **more):
        directory.mkdir(parents=True, exist_ok=True)
        self.shift_file = directory / "shift"
        self.shift_file.write_bytes(struct.pack("=q", 0))
        asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        super().__init__(directory, env={"LD_PRELOAD": str(shim), "CLOCK_SHIFT": str(self.shift_file),
                                         "ASAN_OPTIONS": asan}, **more)

    def shift(self, seconds):
        """Moves the clock; returns once the controller has seen it."""
        before = len(self.stderr.lines)
        with open(self.shift_file, "r+b") as file:
            file.write(struct.pack("=q", seconds))
        return said(self, "the wall clock jumped", before)


@pytest.mark.parametrize("jump", [TEN_DAYS, -TEN_DAYS])
def test_a_clock_that_jumps_and_comes_back_loses_nothing(tmp_path, shim, jump):
    port = PORTS.take()
    with HttpOrigin() as origin, WebSocketOrigin() as sockets, \
            ShiftedEdge(tmp_path, shim, workers=2, config={"processes": [app(port, "sleeper", idle="1h")]}) as edge:
        made = json.loads(edge.command("preview", "create", "box", origin.port, "--basic", "--expires", "1h",
                                       "--json"))
        host, lasting = edge.host(origin), edge.create_preview(sockets)
        sleeper = edge.create_preview(port, "sleeper")
        process = json.loads(edge.get(sleeper).body)["pid"]
        basic = ["Authorization: Basic " + base64_text(f"{made['username']}:{made['password']}")]
        session = session_in(get(edge, host, fields=["Accept: text/html", *basic]).all("set-cookie"))
        cookie = [f"Cookie: {COOKIE}={session}"]
        pids = edge.pids()
        def shown(status):
            assert [edge.get(host, fields=fields, kind="tls").status for fields in (basic, cookie)] == [status] * 2

        shown(200)
        with Echoes(edge, lasting) as tunnels:
            for _ in range(2):
                line = edge.shift(jump)
                assert f"jumped {TEN_DAYS} s {'ahead' if jump > 0 else 'back'}" in line
                shown(404 if jump > 0 else 200)
                tunnels.echo()
                edge.shift(0)
                shown(200)
            tunnels.echo()
            assert json.loads(edge.get(sleeper).body)["pid"] == process  # not stopped
        assert edge.pids() == pids  # no watchdog took the jump for a hang
        assert "boxedge_wall_clock_jumps_total 4\n" in metrics(edge)

        # Maintenance runs at the start of a controller: here in the middle of the jump.
        edge.expect_deaths = True
        edge.shift(jump)
        os.kill(edge.pids("controller")[0], signal.SIGKILL)
        edge.wait_until(lambda: edge.command("status", "--ready", check=False).returncode == 0, what="a controller")
        time.sleep(1)  # its maintenance
        shown(404 if jump > 0 else 200)
        edge.shift(0)
        shown(200)
        edge.command("store", "check")


def test_what_stays_expired_is_gone_from_lists_at_once(tmp_path, shim):
    with HttpOrigin() as origin, ShiftedEdge(tmp_path, shim) as edge:
        host = edge.create_preview(origin, "box", "--expires", "1h")
        assert edge.get(host).status == 200
        edge.shift(7200)
        assert edge.get(host).status == 404
        assert json.loads(edge.command("preview", "list", "--json")) in ([], {"previews": []})
        # It can be created anew; the old one is not in the way.
        edge.create_preview(origin, "box", "--expires", "1h")
        assert edge.get(host).status == 200
