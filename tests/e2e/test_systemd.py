"""The shipped unit in a real systemd: it starts, unchanged, with the shipped configuration."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from harness import ROOT
from machine import booted, write

UNIT = ROOT / "deploy/boxedge.service"
CONFINED = ROOT / "deploy/without-process-boxes.conf"
# The leak checker of the test build traces its process, which the filter refuses.
CONFINED_TEXT = CONFINED.read_text() + "Environment=ASAN_OPTIONS=detect_leaks=0\n"
CONFIG = ROOT / "deploy/boxedge.example.yaml"
# An exposure of 3.0 at most, in the tool's tenths.
EXPOSURE = 30

needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


@pytest.fixture(scope="module")
def machine():
    with booted() as made:
        install(made)
        yield made


def install(machine):
    """By the unit's own header."""
    write(machine.root / "etc/systemd/system/boxedge.service", UNIT.read_text())
    write(machine.root / "etc/boxedge/boxedge.yaml", CONFIG.read_text())
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
          CONFIG.read_text().replace("node: edge-1", "node: edge-2"))
    started.run("systemctl", "reload", "boxedge")
    assert "on edge-2," in started.run("boxedge", "status").stdout


def test_a_journal_that_stands_still_holds_nothing_up(started):
    journald = int(started.run("systemctl", "show", "systemd-journald", "-p", "MainPID", "--value").stdout)
    started.run("kill", f"-{signal.SIGSTOP.value}", journald)
    try:
        for _ in range(20):
            started.run("boxedge", "reload")
        started.run("boxedge", "preview", "create", "demo", "3001")
    finally:
        started.run("kill", f"-{signal.SIGCONT.value}", journald)


def test_messages_are_fields_of_the_journal(started):
    """systemctl restart: the last edge ends, and another one is ready."""
    started.run("systemctl", "restart", "boxedge")
    wait_in(started, "journalctl -u boxedge -q -o cat BOXEDGE_CODE=ready | grep -q .")
    found = started.run("journalctl", "-u", "boxedge", "-q", "-o", "json", "BOXEDGE_CODE=ready").stdout.splitlines()
    line = json.loads(found[-1])
    assert line["MESSAGE"].startswith("ready: ") and line["PRIORITY"] == "5", line
    assert (line["SYSLOG_IDENTIFIER"], line["BOXEDGE_PROCESS"], line["_TRANSPORT"]) == ("boxedge", "supervisor", "journal")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["BOXEDGE_TIME"])
    worker = json.loads(started.run("boxedge", "status", "--json").stdout)["workers"][0]["pid"]
    started.run("kill", f"-{signal.SIGABRT.value}", worker)
    wait_in(started, "journalctl -u boxedge -q -o cat BOXEDGE_CODE=process_back | grep -q .")
    worst = started.run("journalctl", "-u", "boxedge", "-q", "-o", "cat", "-p", "err").stdout
    assert "worker 0: crash: signal SIGABRT" in worst and f"worker 0 (process {worker}) died" in worst, worst


def test_access_lines_are_entries_of_the_journal(started):
    """Through a reload to the journal, and back."""
    config = started.root / "etc/boxedge/boxedge.yaml"
    write(config, CONFIG.read_text().replace("access: stdout", "access: journald"))
    started.run("systemctl", "reload", "boxedge")
    search = "journalctl -u boxedge -q -o json SYSLOG_IDENTIFIER=boxedge-access BOXEDGE_HOST=%s"
    # A reload is done before a worker has opened its log.
    wait_in(started, "curl -s -o /dev/null -H 'Host: in.example' http://127.0.0.1:80/one; "
                     f"{search % 'in.example'} | grep -q .")
    entry = json.loads(started.run(*(search % "in.example").split()).stdout.splitlines()[-1])
    line = json.loads(entry["MESSAGE"])
    assert (line["host"], line["path"]) == ("in.example", "/one")
    assert entry["_TRANSPORT"] == "journal" and entry["PRIORITY"] == "6"
    for field in ("time", "request_id", "client", "kind", "status", "end"):
        assert entry[f"BOXEDGE_{field.upper()}"] == str(line[field])
    write(config, CONFIG.read_text())
    started.run("systemctl", "reload", "boxedge")


# ---- the unit's promises


@contextlib.contextmanager
def drop_in(machine, text):
    """The running unit with a change."""
    path = machine.root / "etc/systemd/system/boxedge.service.d/test.conf"
    write(path, text)
    machine.run("systemctl", "daemon-reload")
    try:
        machine.run("systemctl", "start", "boxedge")
        yield
    finally:
        machine.run("systemctl", "stop", "boxedge")
        path.unlink()
        write(machine.root / "etc/boxedge/boxedge.yaml", CONFIG.read_text())
        machine.run("systemctl", "daemon-reload")


def main_pid(machine):
    """Of the running service: 0, which it has between two processes, would be the sender's own group for a signal."""
    wait_in(machine, "[ $(systemctl show boxedge -p MainPID --value) != 0 ]")
    return machine.property("MainPID")


def wait_in(machine, condition):
    machine.run("timeout", "60", "sh", "-c", f"until {condition}; do sleep 0.1; done")


@needs_analyze
def test_systemd_has_no_word_about_the_unit(machine):
    for text in ("", CONFINED_TEXT):
        with drop_in(machine, text):
            done = machine.run("systemd-analyze", "verify", "/etc/systemd/system/boxedge.service")
            assert done.stdout + done.stderr == ""


def unit_in(folder, *drop_ins):
    (folder / "boxedge.service.d").mkdir(parents=True)
    unit = shutil.copy(UNIT, folder)
    for drop_in in drop_ins:
        shutil.copy(drop_in, folder / "boxedge.service.d")
    return unit


def security(unit, *options):
    return subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", *options, unit],
                          capture_output=True, text=True, check=False, timeout=60)


def exposed(unit):
    """The settings that systemd counts."""
    items = json.loads(security(unit, "--json=short").stdout)
    return {item["name"] for item in items if float(item["exposure"] or 0) > 0}


def rows(text):
    """The settings that begin a row of the tables in `text`."""
    first = re.findall(r"^\| (`.+?`) \|", text.replace("\\|", "|"), re.M)
    return {name for cell in first for name in re.findall(r"`([^`]+)`", cell)}


@needs_analyze
def test_the_exposure_is_small_and_each_rest_has_its_reason(tmp_path):
    alone, confined = unit_in(tmp_path / "alone"), unit_in(tmp_path / "confined", CONFINED)
    done = security(confined, f"--threshold={EXPOSURE}")
    assert done.returncode == 0, done.stdout
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8").split("### Confinement by systemd")[1].split("\n## ")[0]
    for unit, part in ((alone, "the unit"), (confined, "with the drop-in")):
        level = re.search(r"exposure level .*: ([\d.]+)", security(unit).stdout)[1]
        assert f"{level} ({part})" in " ".join(text.split())
    everywhere, alone_too = (rows(part) for part in text.split("Without the drop-in these remain too:"))
    assert exposed(confined) <= everywhere
    assert {re.sub(r"(SystemCallFilter=).*", r"\1", name) for name in exposed(alone)} <= everywhere | alone_too


def test_a_refused_reload_fails_and_changes_nothing(started):
    write(started.root / "etc/boxedge/boxedge.yaml", CONFIG.read_text() + "wrokers: 1\n")
    done = started.run("systemctl", "reload", "boxedge", check=False)
    write(started.root / "etc/boxedge/boxedge.yaml", CONFIG.read_text())
    assert done.returncode != 0
    assert "wrokers" in started.journal()
    assert started.property("ActiveState") == "active"
    started.run("curl", "-fsS", "http://127.0.0.1:8081/readyz")
    started.run("systemctl", "reload", "boxedge")


def stop_and_wait_for_another(machine):
    """A main process that no longer runs is replaced by a restart."""
    hangs, restarts = main_pid(machine), machine.property("NRestarts")
    machine.run("kill", f"-{signal.SIGSTOP.value}", hangs)
    wait_in(machine, f"[ $(systemctl show boxedge -p NRestarts --value) != {restarts} ] && "
                     "curl -fs http://127.0.0.1:8081/readyz")
    assert main_pid(machine) != hangs


def hand_over(machine):
    before, restarts = main_pid(machine), machine.property("NRestarts")
    machine.run("systemctl", "kill", "--signal=USR2", "--kill-who=main", "boxedge")
    wait_in(machine, f"[ $(systemctl show boxedge -p MainPID --value) != {before} ]")
    assert machine.property("NRestarts") == restarts, machine.journal()


# Keeps a WebSocket open.
TUNNEL = """
import socket, ssl, time
host = "demo-box-5173.preview.box.example.com"
context = ssl._create_unverified_context()
with context.wrap_socket(socket.create_connection(("127.0.0.1", 443)), server_hostname=host) as sock:
    sock.sendall(b"GET /echo HTTP/1.1\\r\\nHost: %s\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                 b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\\r\\n\\r\\n" % host.encode())
    assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
    open("/tmp/open", "w").close()
    time.sleep(600)
"""


def test_the_death_of_an_upgraded_edge_is_noticed(machine):
    """Its parent is the previous edge, which still has a WebSocket: systemd learns of the death from that
    one, and need not wait for its watchdog."""
    with drop_in(machine, "[Service]\nWatchdogSec=1h\n"):
        write(machine.root / "root/tunnel.py", TUNNEL)
        machine.run("systemd-run", "--unit=app", "boxedge", "demo-app", "--port", "5173")
        machine.run("boxedge", "preview", "create", "demo-box", "5173")
        wait_in(machine, "curl -fs http://127.0.0.1:5173/")
        machine.run("systemd-run", "--unit=tunnel", "python3", "/root/tunnel.py")
        wait_in(machine, "[ -e /tmp/open ]")
        old = main_pid(machine)
        hand_over(machine)
        new = main_pid(machine)
        assert machine.run("ps", "-o", "ppid=", "-p", new).stdout.split() == [str(old)]
        machine.run("kill", f"-{signal.SIGKILL.value}", new)
        wait_in(machine, f"[ $(systemctl show boxedge -p MainPID --value) != {new} ] && "
                         "curl -fs http://127.0.0.1:8081/readyz")
        assert main_pid(machine) not in (old, new)
        assert machine.run("journalctl", "-u", "boxedge", "-q", "--grep", "Watchdog request").stdout
        machine.run("systemctl", "stop", "app", "tunnel", check=False)


def test_a_supervisor_that_stands_still_is_replaced(machine):
    with drop_in(machine, "[Service]\nWatchdogSec=6\nTimeoutAbortSec=1\n"):
        stop_and_wait_for_another(machine)
        hand_over(machine)  # the successor has the duty then
        stop_and_wait_for_another(machine)
        found = machine.run("journalctl", "-u", "boxedge", "--no-pager", "-q", "-o", "cat", "--grep", "Watchdog timeout")
        assert len(found.stdout.splitlines()) == 2, found.stdout


@pytest.mark.parametrize("upgraded", [False, True])
def test_a_long_drain_has_the_time_that_it_needs(machine, upgraded):
    """The unit's own limit is shorter than the drain, and an open request uses all of the drain. The edge of an upgrade
    was not systemd's own child when it became the main process."""
    config = CONFIG.read_text()
    assert "drain: 30s" in config
    write(machine.root / "etc/boxedge/boxedge.yaml", config.replace("drain: 30s", "drain: 6s"))
    with drop_in(machine, "[Service]\nTimeoutStopSec=2\n"):
        if upgraded:
            hand_over(machine)
        machine.run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\n' >&3 && "
                                  "(sleep 60 >/dev/null 2>&1 &)")
        began = time.monotonic()
        machine.run("systemctl", "stop", "boxedge")
        assert time.monotonic() - began > 4
        assert machine.property("Result") == "success", machine.journal()


# What node and a dev server need: memory that is written and executed, a directory in /home, a control group.
NEEDS = """
import mmap, time
mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
open("made", "w").close()
print("has", open("/proc/self/cgroup").read().split()[-1], flush=True)
time.sleep(600)
"""


def test_a_process_box_has_what_dev_servers_need(machine):
    home = machine.root / "home/web"
    write(home / "app.py", NEEDS)
    machine.run("chown", "-R", "boxedge", "/home/web")
    box = {"id": "web", "command": ["/usr/bin/python3", "-S", "app.py"], "directory": "/home/web", "ports": [3000]}
    write(machine.root / "etc/boxedge/boxedge.yaml", json.dumps(yaml.safe_load(CONFIG.read_text()) | {"processes": [box]}))
    with drop_in(machine, ""):
        machine.run("boxedge", "box", "start", "web", check=False)  # it never listens
        wait_in(machine, "boxedge box logs web | grep -q has")
        log = machine.run("boxedge", "box", "logs", "web").stdout
        # Only where the machine has the one hierarchy of version 2, and may write there.
        if machine.run("test", "-w", "/sys/fs/cgroup/cgroup.procs", check=False).returncode == 0:
            assert "/boxedge.service/boxedge.web" in log, log
        assert (home / "made").exists()


def test_the_drop_in_leaves_an_edge_without_process_boxes_whole(machine):
    with drop_in(machine, CONFINED_TEXT):
        status = json.loads(machine.run("boxedge", "status", "--json").stdout)
        assert [worker["system_calls_filtered"] for worker in status["workers"]] == [True] * len(status["workers"])
        machine.run("boxedge", "preview", "create", "demo", "3000")
        machine.run("systemctl", "reload", "boxedge")
        hand_over(machine)
        machine.run("curl", "-fsS", "http://127.0.0.1:8081/readyz")
        machine.run("systemctl", "restart", "boxedge")
        assert "demo-3000." in machine.run("boxedge", "preview", "list").stdout
    assert machine.property("Result") == "success", machine.journal()
