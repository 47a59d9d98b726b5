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
from test_install import FILES

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
# A WebSocket that echoes before and after an upgrade.
ECHOES = """
import os, socket, ssl, time
def echo(text):
    tls.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    assert file.read(2 + len(text)) == bytes([0x81, len(text)]) + text
context = ssl.create_default_context(cafile=CA)
with context.wrap_socket(socket.create_connection(("127.0.0.1", 8443), 60), server_hostname=HOST) as tls:
    tls.sendall(b"GET /echo HTTP/1.1\\r\\nHost: " + HOST.encode() + b":8443\\r\\nUpgrade: websocket\\r\\n"
                b"Connection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
                b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\\r\\n\\r\\n")
    file = tls.makefile("rb")
    assert b" 101 " in file.readline()
    while file.readline() != b"\\r\\n":
        pass
    echo(b"before")
    open("/tmp/open", "w").close()
    while not os.path.exists("/tmp/stop"):
        time.sleep(0.05)
    echo(b"after")
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


def test_it_has_all_that_an_installation_has(packages):
    """Debian compresses manuals, has the configuration as a conffile, and a folder of its own for zsh."""
    lines = run("dpkg-deb", "-c", packages[0]).splitlines()
    names = {line.split()[5].removeprefix("./").removesuffix(".gz") for line in lines}
    names = {name.replace("zsh/vendor-completions", "zsh/site-functions") for name in names}
    places = {name if name.startswith(("etc/", "lib/systemd/")) else f"usr/{name}" for name in FILES}
    assert places - names == set()
    assert "etc/boxedge/boxedge.yaml" in names


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="there is no logrotate")
def test_its_access_log_is_rotated(machine):
    install(machine)
    config = machine.root / "etc/boxedge/boxedge.yaml"
    write(config, config.read_text() + "\nlog: {access: /var/log/boxedge/access.log}\n")
    machine.run("systemctl", "restart", NAME)
    fetch(machine)
    wait_for(machine, "[ -s /var/log/boxedge/access.log ]")
    machine.run("logrotate", "--force", "/etc/logrotate.d/boxedge")
    wait_for(machine, "[ -e /var/log/boxedge/access.log ]")  # opened again
    fetch(machine)
    wait_for(machine, "[ -s /var/log/boxedge/access.log ] && [ -s /var/log/boxedge/access.log.1 ]")


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
    write(machine.root / "root/echoes.py", f"CA = {authority(machine)!r}\nHOST = {host!r}\n{ECHOES}")
    before, results, ended = machine.property("MainPID"), [], []
    loop = threading.Thread(target=lambda: results.append(machine.run("timeout", "150", "python3", "/root/loop.py")))
    echoes = threading.Thread(target=lambda: ended.append(machine.run("timeout", "150", "python3", "/root/echoes.py",
                                                                      check=False)))
    loop.start()
    echoes.start()
    try:
        wait_for(machine, "[ -e /tmp/begun ] && [ -e /tmp/open ]")
        write(machine.root / "etc/boxedge/boxedge.yaml",
              (machine.root / "etc/boxedge/boxedge.yaml").read_text() + "\n# mine\n")
        install(machine, 1)
        after = machine.property("MainPID")
    finally:
        machine.run("touch", "/tmp/stop")
        loop.join()
        echoes.join()
        machine.run("rm", "-f", "/tmp/stop", "/tmp/begun", "/tmp/open")
    assert ended[0].returncode == 0, ended[0].stderr
    wait_for(machine, f"! [ -e /proc/{before} ]")
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
