"""The Debian package in a real systemd: installation, upgrade under requests, removal, purge, a busy port. The package
has the binary under test; deploy/package also runs lintian on it."""

import json
import re
import shutil
import subprocess
import threading

import pytest

from harness import BINARY, ROOT
from machine import booted, write

NAME = "boxedge"
URL = "https://demo-3000.preview.box.localhost:8443/"
KEPT = ["/etc/boxedge/boxedge.yaml", "/var/lib/boxedge/store", "/var/log/boxedge"]
# Requests over fresh connections until the file "stop" exists; prints their number, and the failures.
LOOP = """
import json, os, socket, ssl
done, failed, context = 0, [], ssl.create_default_context(cafile=CA)
while not os.path.exists("/tmp/stop"):
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", 8443), 10), server_hostname=HOST) as tls:
            tls.sendall(b"GET / HTTP/1.1\\r\\nHost: " + HOST.encode() + b":8443\\r\\nConnection: close\\r\\n\\r\\n")
            head = tls.recv(65536)
        if not head.startswith(b"HTTP/1.1 200 "):
            failed.append(head[:200].decode(errors="replace"))
    except OSError as error:
        failed.append(repr(error))
    done += 1
    if done == 20:
        open("/tmp/begun", "w").close()
print(json.dumps([done, failed]))
"""
HOLDER = """
import signal, socket, os
held = socket.create_server(("127.0.0.1", 8443))
open("/tmp/held", "w").close()
signal.pause()
"""


def run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """(the package, a later version of it)"""
    for tool in ("dh", "lintian", "dpkg-buildpackage"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}")
    folder = tmp_path_factory.mktemp("packages")
    first = run(ROOT / "deploy/package", "--prebuilt", BINARY, folder).splitlines()[-1]
    run("dpkg-deb", "-R", first, folder / "later")
    control = folder / "later/DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+later", control.read_text(), flags=re.M))
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", folder / "later", folder / "later.deb")
    return first, folder / "later.deb"


@pytest.fixture(scope="module")
def with_packages(packages):
    with booted() as made:
        (made.root / "usr/local/bin/boxedge").unlink()
        (made.root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
        for number, package in enumerate(packages):
            shutil.copy(package, made.root / f"root/{number}.deb")
        yield made


@pytest.fixture
def machine(with_packages):
    yield with_packages
    with_packages.run("dpkg", "--purge", NAME)


def install(machine, number=0):
    machine.run("dpkg", "--install", f"/root/{number}.deb")


def authority(machine):
    return machine.run("sh", "-c", "grep -l CERTIFICATE /var/lib/boxedge/ca/*ca* | grep -v key | head -1").stdout.strip()


def fetch(machine):
    return machine.run("curl", "-fsS", "--max-time", "20", "--cacert", authority(machine), "--resolve",
                       "demo-3000.preview.box.localhost:8443:127.0.0.1", URL).stdout


def exists(machine, path):
    return machine.run("test", "-e", path, check=False).returncode == 0


def wait_for(machine, condition):
    machine.run("timeout", "60", "sh", "-c", f"until {condition}; do sleep 0.1; done")


def test_it_starts_and_has_a_preview_to_look_at(machine):
    install(machine)
    assert machine.property("ActiveState") == "active", machine.journal()
    assert machine.run("systemctl", "is-enabled", NAME).stdout.strip() == "enabled"
    assert "<title>boxedge demo" in fetch(machine)
    assert "/etc/boxedge/boxedge.yaml" in machine.run("dpkg-query", "-W", "-f", "${Conffiles}", NAME).stdout
    machine.run("boxedge", "check", "-c", "/etc/boxedge/boxedge.yaml")
    assert machine.run("dpkg", "--verify", NAME).stdout == ""


def test_the_sockets_are_for_those_who_enable_them(machine):
    """An upgrade leaves them alone, and they go with the package."""
    install(machine)
    assert machine.run("systemctl", "is-enabled", "boxedge.socket", check=False).stdout.strip() == "disabled"
    assert machine.run("systemctl", "is-active", "boxedge.socket", check=False).stdout.strip() == "inactive"
    write(machine.root / "etc/systemd/system/boxedge.socket.d/here.conf",
          "[Socket]\nListenStream=\nListenStream=127.0.0.1:8443\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "boxedge.socket")
    machine.run("systemctl", "stop", NAME)
    machine.run("systemctl", "start", "boxedge.socket", NAME)
    install(machine, 1)
    assert machine.run("systemctl", "is-active", "boxedge.socket", NAME).stdout.split() == ["active"] * 2
    machine.run("systemctl", "restart", NAME)
    fetch(machine)
    machine.run("dpkg", "--remove", NAME)
    (machine.root / "etc/systemd/system/boxedge.socket.d/here.conf").unlink()
    assert machine.property("ActiveState") in ("inactive", "")
    assert machine.run("systemctl", "is-active", "boxedge.socket", check=False).stdout.strip() in ("inactive", "unknown")
    assert not machine.run("sh", "-c", "ss -Hltn 'sport = :8443'", check=False).stdout


def test_an_upgrade_fails_no_request(machine):
    install(machine)
    fetch(machine)
    host = URL.split("/")[2].split(":")[0]
    write(machine.root / "root/loop.py", f"CA = {authority(machine)!r}\nHOST = {host!r}\n{LOOP}")
    before, results = machine.property("MainPID"), []
    loop = threading.Thread(target=lambda: results.append(machine.run("timeout", "150", "python3", "/root/loop.py")))
    loop.start()
    try:
        wait_for(machine, "[ -e /tmp/begun ]")
        write(machine.root / "etc/boxedge/boxedge.yaml",
              (machine.root / "etc/boxedge/boxedge.yaml").read_text() + "\n# mine\n")
        install(machine, 1)
        after = machine.property("MainPID")
        wait_for(machine, f"! [ -e /proc/{before} ]")
    finally:
        machine.run("touch", "/tmp/stop")
        loop.join()
        machine.run("rm", "-f", "/tmp/stop", "/tmp/begun")
    done, failed = json.loads(results[0].stdout)
    assert failed == [] and done > 20
    assert after not in (before, "0") and machine.property("ActiveState") == "active"
    assert machine.property("StatusText") == "serving"
    assert machine.property("NRestarts") == "0" and machine.property("Result") == "success", machine.journal()
    assert "+later" in machine.run("dpkg-query", "-W", NAME).stdout
    assert (machine.root / "etc/boxedge/boxedge.yaml").read_text().endswith("# mine\n")


def test_an_upgrade_whose_program_does_not_serve_keeps_the_old_one(machine):
    """A configuration that the new program refuses, for example."""
    install(machine)
    before = machine.property("MainPID")
    write(machine.root / "etc/boxedge/boxedge.yaml", "preview_domain: [\n")
    said = machine.run("dpkg", "--force-confold", "--install", "/root/1.deb").stderr
    assert "the old program goes on" in said
    assert machine.property("MainPID") == before and machine.property("ActiveState") == "active"
    assert machine.property("StatusText").startswith("upgrade 1: the new binary did not take over")
    fetch(machine)


def test_removed_it_keeps_its_state_and_finds_it_again(machine):
    install(machine)
    machine.run("boxedge", "preview", "create", "demo", "3000", "--label", "kept")
    machine.run("dpkg", "--remove", NAME)
    assert machine.property("ActiveState") in ("inactive", "")
    assert not exists(machine, "/usr/bin/boxedge") and all(exists(machine, path) for path in KEPT)
    install(machine)
    assert machine.property("ActiveState") == "active"
    assert "kept" in machine.run("boxedge", "preview", "list").stdout


def test_purged_it_leaves_nothing(machine):
    install(machine)
    machine.run("dpkg", "--purge", NAME)
    assert machine.property("ActiveState") in ("inactive", "")
    for path in (*KEPT, "/etc/boxedge", "/var/lib/boxedge", "/run/boxedge", "/etc/logrotate.d/boxedge",
                 "/usr/share/doc/boxedge", "/etc/systemd/system/multi-user.target.wants/boxedge.service",
                 "/etc/systemd/system/sockets.target.wants/boxedge.socket"):
        assert not exists(machine, path), path
    assert machine.run("dpkg-query", "-W", "-f", "${db:Status-Status}", NAME, check=False).stdout in ("", "not-installed")


def test_a_busy_port_fails_no_installation(machine):
    write(machine.root / "root/holder.py", HOLDER)
    machine.run("systemd-run", "--unit=holder", "python3", "/root/holder.py")
    wait_for(machine, "[ -e /tmp/held ]")
    install(machine)
    assert machine.property("ActiveState") != "active"
    wait_for(machine, "journalctl -u boxedge -q --grep 'cannot listen on 127.0.0.1:8443' >/dev/null")
    machine.run("systemctl", "stop", "holder")
    machine.run("systemctl", "reset-failed", NAME, check=False)
    machine.run("systemctl", "start", NAME)
    assert machine.property("ActiveState") == "active"
    machine.run("boxedge", "preview", "create", "demo", "3000")
    fetch(machine)
