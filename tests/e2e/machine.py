"""A separate machine with a real systemd: a container whose root is this machine's own, under an overlay, so that it needs no download and changes nothing here. Machine.start gives the reason if that is impossible."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from harness import BINARY, PATIENCE, SLOW
from podman import Podman, Unavailable

SYSTEMD = "/lib/systemd/systemd"
# The time to start everything; a second or two on an otherwise idle machine.
BOOT_S = 60
# Files of this machine that the other one must not have.
EMPTY = ["tmp", "var/tmp", "run", "var/log/journal", "etc/systemd/system", "etc/boxedge", "var/lib/boxedge"]
TARGET = "[Unit]\nRequires=basic.target\nAfter=basic.target\n"


@contextlib.contextmanager
def booted():
    """A running machine; skips the test, with the reason, if none can run."""
    machine = Machine()
    try:
        machine.start()
    except Unavailable as why:
        pytest.skip(str(why))
    try:
        yield machine
    finally:
        machine.close()


class Machine:
    """`root` is its root directory, as seen from here."""

    def __init__(self):
        self.podman = Podman()
        self.root = self.podman.directory / "machine/root"

    def start(self):
        if os.geteuid() != 0:
            raise Unavailable("a machine with a systemd of its own needs root")
        for tool in ("podman", "runc", SYSTEMD):
            if shutil.which(tool) is None:
                raise Unavailable(f"there is no {tool}")
        self.podman.clean()
        try:
            self._mount()
            self._boot()
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            self.podman.clean()
            raise Unavailable(f"a machine with a systemd of its own cannot run here: {error}") from error
        return self

    def _mount(self):
        self.podman.make_folders()
        upper, work = self.root.with_name("upper"), self.root.with_name("work")
        for folder in (upper, work, self.root):
            folder.mkdir(parents=True)
        for name in EMPTY:
            (upper / name).mkdir(parents=True)
            os.setxattr(upper / name, "trusted.overlay.opaque", b"y")
        for name in ("tmp", "var/tmp"):
            (upper / name).chmod(0o1777)
        done = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", self.root],
            check=False, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        (self.root / "etc/systemd/system/machine.target").write_text(TARGET, encoding="ascii")
        shutil.copy(BINARY, self.root / "usr/local/bin/boxedge")

    def _boot(self):
        self.podman.run(
            "run", "-d", "--name", "machine", "--systemd=always", "--network", "none", "--no-hosts",
            "--cap-add", "SYS_ADMIN,SYS_RESOURCE,NET_ADMIN", "--security-opt", "seccomp=unconfined",
            "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096", "--rootfs", str(self.root),
            SYSTEMD, "--unit=machine.target")
        # Asks until systemd listens, then waits until it has started everything.
        state, deadline = "", time.monotonic() + BOOT_S
        while time.monotonic() < deadline:
            state = self.run("timeout", BOOT_S, "systemctl", "is-system-running", "--wait", check=False).stdout.strip()
            if state in ("running", "degraded"):
                return
            time.sleep(0.2)  # it has no socket yet
        raise RuntimeError(f"its systemd is \"{state}\"")

    def run(self, *arguments, check=True):
        """A command inside of it."""
        done = subprocess.run(
            [*self.podman.command, "exec", "machine", *map(str, arguments)], capture_output=True, text=True, check=False,
            env=self.podman.env, stdin=subprocess.DEVNULL, timeout=60 + PATIENCE * SLOW)
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.journal()}")
        return done

    def journal(self):
        return self.run("journalctl", "-u", "boxedge", "--no-pager", "-n", "60", check=False).stdout

    def property(self, name):
        """Of the unit."""
        return self.run("systemctl", "show", "boxedge", "-p", name, "--value").stdout.strip()

    def close(self):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self.podman.close()


def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
