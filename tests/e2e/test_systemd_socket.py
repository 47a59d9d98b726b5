"""boxedge.socket in a real systemd: it holds the listening sockets, so that a restart refuses nobody."""

import json
import threading

import pytest

from machine import booted, write
from test_systemd import CONFIG, hand_over, install, main_pid, wait_in
from harness import ROOT

UNIT = ROOT / "deploy/boxedge.socket"
# Sends requests over fresh connections until the file "stop" exists; prints their number, and the failures.
LOOP = """
import json, os, socket
done, failed = 0, []
while not os.path.exists("/tmp/stop"):
    for address in ("127.0.0.1", "::1"):
        try:
            with socket.create_connection((address, 80), 30) as sock:
                sock.sendall(b"GET / HTTP/1.1\\r\\nHost: a-1.preview.box.example.com\\r\\nConnection: close\\r\\n\\r\\n")
                head = sock.recv(65536)
            if not head.startswith(b"HTTP/1.1 308 "):
                failed.append(head[:200].decode(errors="replace"))
        except OSError as error:
            failed.append(repr(error))
        done += 1
    with open("/tmp/done", "w") as file:
        file.write(str(done))
print(json.dumps([done, failed]))
"""


@pytest.fixture(scope="module")
def machine():
    with booted() as made:
        install(made)
        write(made.root / "etc/systemd/system/boxedge.socket", UNIT.read_text(encoding="utf-8"))
        made.run("systemctl", "daemon-reload")
        yield made


@pytest.fixture
def started(machine):
    """By operations.md."""
    machine.run("systemctl", "enable", "boxedge.socket")
    machine.run("systemctl", "stop", "boxedge")
    machine.run("systemctl", "start", "boxedge.socket", "boxedge")
    yield machine
    machine.run("systemctl", "stop", "boxedge.socket", "boxedge")
    assert machine.property("Result") == "success", machine.journal()


class Loop:
    def __init__(self, machine):
        self.machine, self.results = machine, []
        write(machine.root / "root/loop.py", LOOP)
        self.thread = threading.Thread(
            target=lambda: self.results.append(machine.run("timeout", "150", "python3", "/root/loop.py")))

    def __enter__(self):
        self.machine.run("rm", "-f", "/tmp/stop", "/tmp/done")
        self.thread.start()
        self.wait_more()
        return self

    def wait_more(self, n=50):
        before = self.machine.run("sh", "-c", "cat /tmp/done 2>/dev/null || echo 0").stdout.strip() or "0"
        wait_in(self.machine, f"[ $(cat /tmp/done 2>/dev/null || echo 0) -ge {int(before) + n} ]")

    def __exit__(self, *_):
        self.machine.run("touch", "/tmp/stop")
        self.thread.join()

    def failed(self):
        done, failed = json.loads(self.results[0].stdout)
        assert done > 100
        return failed


def test_systemd_has_no_word_about_it(started):
    done = started.run("systemd-analyze", "verify", "/etc/systemd/system/boxedge.socket")
    assert done.stdout + done.stderr == ""


def test_a_restart_refuses_nobody(started):
    with Loop(started) as loop:
        for _ in range(3):
            before = main_pid(started)
            started.run("systemctl", "restart", "boxedge")
            assert main_pid(started) != before
            loop.wait_more()
    assert loop.failed() == []
    assert not started.run("journalctl", "-u", "boxedge", "-q", "--grep", "was passed", check=False).stdout


def test_neither_an_upgrade_nor_the_end_of_every_process_refuses_anyone(started):
    with Loop(started) as loop:
        hand_over(started)
        loop.wait_more()
        started.run("systemctl", "restart", "boxedge")  # of the successor
        loop.wait_more()
        started.run("systemctl", "reload", "boxedge")
        loop.wait_more()
    assert loop.failed() == []
    assert not started.run("journalctl", "-u", "boxedge", "-q", "--grep", "SIGKILL", check=False).stdout


def test_a_connection_starts_an_edge_that_was_stopped(started):
    started.run("systemctl", "stop", "boxedge")
    assert started.property("ActiveState") == "inactive"
    started.run("curl", "-sS", "--max-time", "60", "http://127.0.0.1/")
    assert started.property("ActiveState") == "active"


def test_an_edge_that_does_not_start_leaves_the_queue_to_the_next(started):
    """Clients wait while systemd starts it again and again, more often than its limit of 5, until the file is right."""
    config = started.root / "etc/boxedge/boxedge.yaml"
    started.run("systemctl", "stop", "boxedge")
    write(config, "preview_domain: [\n")
    waiting = threading.Thread(target=started.run, args=("curl", "-sS", "--max-time", "120", "http://127.0.0.1/"))
    waiting.start()
    wait_in(started, "[ $(systemctl show boxedge -p NRestarts --value) -ge 6 ]")
    write(config, CONFIG.read_text(encoding="utf-8"))
    waiting.join()
    assert started.property("ActiveState") == "active"
    assert started.run("systemctl", "is-active", "boxedge.socket").stdout.strip() == "active"
