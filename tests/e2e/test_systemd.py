"""The shipped unit in a real systemd: it starts, as it is, with the shipped configuration."""

import re
import signal

import pytest

from harness import ROOT
from machine import Machine, write
from podman import Unavailable

UNIT = ROOT / "deploy/boxedge.service"


@pytest.fixture(scope="module")
def machine():
    made = None
    try:
        made = Machine().start()
        install(made)
        yield made
    except Unavailable as why:
        pytest.skip(str(why))
    finally:
        if made is not None:
            made.close()


def install(machine):
    """As the unit's own head says."""
    write(machine.root / "etc/systemd/system/boxedge.service", UNIT.read_text())
    write(machine.root / "etc/boxedge/boxedge.yaml", (ROOT / "deploy/boxedge.example.yaml").read_text())
    command = re.search(r"^#\s+(useradd .+)$", UNIT.read_text(), re.M)[1].split()
    if machine.run("id", "boxedge", check=False).returncode != 0:
        machine.run(*command)
    machine.run("systemctl", "daemon-reload")


@pytest.fixture
def started(machine):
    machine.run("systemctl", "start", "boxedge")
    yield machine
    machine.run("systemctl", "stop", "boxedge")
    assert machine.property("Result") == "success", machine.journal()
    assert machine.property("NRestarts") == "0", machine.journal()


def test_it_starts_and_its_commands_answer(started):
    assert re.search(r"^worker 0 +\d+ +ready", started.run("boxedge", "status").stdout, re.M)
    started.run("curl", "-fsS", "http://127.0.0.1:8081/readyz")


@pytest.mark.parametrize("options", [(), ("-c", "/etc/boxedge/boxedge.yaml")])
@pytest.mark.parametrize("environment", [(), ("XDG_RUNTIME_DIR=/tmp/runtime", "HOME=/tmp")])
def test_an_ordinary_user_is_told_of_the_permission(started, options, environment):
    """Not that the edge does not run, because that user's own edge would be elsewhere."""
    done = started.run("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "env", *environment,
                       "boxedge", "status", *options, check=False)
    assert done.returncode == 1 and "you may not use /run/boxedge/admin.sock" in done.stderr
    assert "not running" not in done.stderr


def test_no_other_user_reads_what_it_keeps(started):
    """The directory of the state may be entered, since controller and workers are not its owner."""
    store, ca = "/var/lib/boxedge/store", "/var/lib/boxedge/ca"
    assert started.run("stat", "-c", "%U %a", store).stdout == "boxedge 700\n"
    keys = started.run("sh", "-c", f"stat -c '%U %a' $(grep -l PRIVATE {ca}/*)").stdout.splitlines()
    assert keys and set(keys) == {"root 600"}


def test_previews_live_through_a_restart_and_a_reload(started):
    started.run("boxedge", "preview", "create", "demo", "3000")
    started.run("systemctl", "restart", "boxedge")
    assert "demo-3000." in started.run("boxedge", "preview", "list").stdout
    write(started.root / "etc/boxedge/boxedge.yaml",
          (ROOT / "deploy/boxedge.example.yaml").read_text().replace("node: edge-1", "node: edge-2"))
    started.run("systemctl", "reload", "boxedge")
    started.run("sh", "-c", "until boxedge status | grep -q 'on edge-2,'; do sleep 0.1; done")


def test_a_journal_that_stands_still_holds_nothing_up(started):
    journald = int(started.run("systemctl", "show", "systemd-journald", "-p", "MainPID", "--value").stdout)
    started.run("kill", f"-{signal.SIGSTOP.value}", journald)
    try:
        for _ in range(20):
            started.run("boxedge", "reload")
        started.run("boxedge", "preview", "create", "demo", "3001")
    finally:
        started.run("kill", f"-{signal.SIGCONT.value}", journald)
