"""Parts of the box API service (tests/boxapi) that the suites of the SDKs do not reach: rights, and clients that
leave."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from boxapi.service import BoxApi
from harness import PATIENCE, ROOT


def call(service, method, path, body=None, key="one"):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, None if body is None else json.dumps(body), {"X-Box-Api-Key": key} if key else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def wait_gone(pid):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return
        except OSError:
            return
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


@pytest.fixture
def service(tmp_path):
    with BoxApi(tmp_path, ["one", "two"]) as running:
        yield running


def test_keys(service):
    status, box = call(service, "POST", "/v2/box", {})
    assert (status, box["status"]) == (201, "idle")
    assert call(service, "GET", "/v2/box", key=None)[0] == call(service, "GET", "/v2/box", key="three")[0] == 401
    assert call(service, "GET", "/v2/box", key="two") == (200, [])
    assert call(service, "GET", f"/v2/box/{box['id']}", key="two")[0] == 404
    assert call(service, "GET", f"/v2/box/{box['id']}/preview")[0] == 404  # the edge answers those


def test_who_leaves_ends_the_command(service):
    box = call(service, "POST", "/v2/box", {})[1]["id"]
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    connection.request("POST", f"/v2/box/{box}/exec-stream", json.dumps({"command": ["sh", "-c", "echo $$; sleep 600; :"]}),
                       {"X-Box-Api-Key": "one"})
    response = connection.getresponse()
    pid = int(response.readline())
    assert call(service, "GET", f"/v2/box/{box}/status") == (200, {"status": "running"})
    response.close()
    connection.close()
    wait_gone(pid)


def test_boxes_end_with_the_service(tmp_path):
    """However it ends, and also if the processes stand still."""
    with subprocess.Popen([sys.executable, "-B", "-m", "boxapi", tmp_path, "--key", "one"], cwd=ROOT / "tests",
                          stdout=subprocess.PIPE, text=True) as process:
        ready = process.stdout.readline().split()

        class Running:
            port = int(ready[1].rsplit(":", 1)[1])

        box = call(Running, "POST", "/v2/box", {})[1]["id"]
        started = call(Running, "POST", f"/v2/box/{box}/exec",
                       {"command": ["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"]})[1]
        assert call(Running, "POST", f"/v2/box/{box}/pause")[0] == 200
        os.kill(process.pid, signal.SIGKILL)
        wait_gone(int(started["output"]))
