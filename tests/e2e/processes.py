"""Shared parts of the tests of the processes: uninterrupted requests beside an event, and facts about a
process."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest
import yaml

import harness
from harness import SLOW
from wire import PATIENCE, WireError

# What a draining edge waits for one more request on a connection that was kept.
IDLE_SECONDS = 1
HEALTH = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"

# A "new binary" that follows the protocol as far as needed (edge/supervisor/handover.h), and then ends or
# hangs.
IMPOSTOR = """#!/usr/bin/env python3
import os, socket, struct, sys, time
with open(f"/proc/self/fd/{os.environ['BOXEDGE_HANDOVER']}") as handoff:
    channel = next(int(line.split()[1]) for line in handoff if line.startswith("handover "))
peer = socket.socket(fileno=channel)
peer.setblocking(True)
peer.send(struct.pack("<IIQ", 0x62786531, 1, 1))  # prepared
magic, kind, _ = struct.unpack("<IIQ", peer.recv(16))
assert (magic, kind) == (0x62786531, 2)  # go
peer.send(struct.pack("<IIQ", 0x62786531, 3, 0))  # join
time.sleep(%d)
sys.exit(5)
"""


class Load:
    """Threads that send requests without a pause until it is stopped, each request on a separate connection
    (or with `keep` on one that is replaced only when it fails, or when a response announces its close). No
    request is sent again, but for one that came later than the edge waits: on a busy machine a thread may stand still
    between two requests."""

    def __init__(self, edge, host, threads=4, keep=False, kind="plain", method="GET", path="/echo"):
        self.edge, self.host, self.keep, self.kind = edge, host, keep, kind
        self.line = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n".encode()
        self.done, self.failures = 0, []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def _one(self, client):
        """True if the connection stays."""
        closing = b"" if self.keep else b"Connection: close\r\n"
        client.sent = time.monotonic()  # if sending fails
        client.send(self.line + closing + b"\r\n")
        client.sent = time.monotonic()
        answer = client.read_message(request_method=self.line.split(b" ", 1)[0].decode())
        if answer.status != 200 or not answer.complete:
            raise WireError(f"{answer.start!r} {answer.body[:200]!r}")
        return answer.get("connection") != "close"

    def _run(self):
        client, before = None, None  # before: when the last request on the connection was sent
        while not self._stop.is_set():
            try:
                client = client or self.edge.connect(self.kind, self.host)
                stays = self._one(client)
                with self._lock:
                    self.done += 1
                if self.keep and stays:
                    before = client.sent
                    continue
            except (OSError, WireError) as error:
                if before is None or client.sent - before < IDLE_SECONDS:
                    with self._lock:
                        self.failures.append((time.monotonic(), repr(error)))
                time.sleep(0.01)
            if client is not None:
                client.close()
            client, before = None, None

    def wait_more(self, n):
        """Until `n` more requests were answered."""
        goal = self.done + n
        self.edge.wait_until(lambda: self.done >= goal, what=f"{n} more answers ({self.failures[-3:]})")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)


def gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def said(edge, text, start=0, timeout=PATIENCE):
    return edge.stderr.wait_for(lambda line: text in line, timeout * SLOW, start)


def run_again(edge, config=None):
    """Another `boxedge run` with the configuration of `edge` and the changes of `config`; the finished process."""
    path = edge.directory / "second.yaml"
    path.write_text(yaml.safe_dump(harness.merge(edge.config, config)))
    return subprocess.run([str(harness.BINARY), "run", "-c", str(path)], capture_output=True, text=True,
                          timeout=PATIENCE * SLOW, check=False, stdin=subprocess.DEVNULL)


def rewrite(edge, config):
    edge.config = harness.merge(edge.config, config)
    edge.write_config()


def reload(edge, config, answer="reloaded: configuration"):
    """SIGHUP with a changed file; returns the lines up to the one with `answer`."""
    start = len(edge.stderr.lines)
    rewrite(edge, config)
    edge.process.send_signal(signal.SIGHUP)
    said(edge, answer, start)
    return edge.stderr.lines[start:]


def serving(edge):
    """The process id of the serving supervisor."""
    return int((edge.run_dir / "boxedge.lock").read_text())


def upgrade(edge):
    """SIGUSR2 to the serving supervisor; returns its successor."""
    old, start = serving(edge), len(edge.stderr.lines)
    os.kill(old, signal.SIGUSR2)
    said(edge, "serves now", start)
    new = serving(edge)
    assert new != old
    return new


def _change_head(pid, file, number):
    """Writes another number into the second word of a memory file of the edge: its layout or version."""
    try:
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            if os.readlink(link).startswith(f"/memfd:{file}"):
                with open(link, "r+b", buffering=0) as memory:
                    assert os.pwrite(memory.fileno(), number, 8) == 8
                return
    except PermissionError:
        pytest.skip("the edge's descriptors can be opened by root only")
    raise AssertionError(f"no memory file {file}")


def change_layout(edge):
    """The next program finds a segment of another layout, as after a change of SHM_LAYOUT."""
    _change_head(serving(edge), "boxedge-shared", b"another.")


def change_core(edge):
    """The next program finds a core of another version: it can share nothing."""
    _change_head(serving(edge), "boxedge-core", b"another.")


def listens(pid):
    """Whether a process has a listening socket. Skips the test if this user may not look (the edge's
    processes are not dumpable)."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = {f"socket:[{line.split()[9]}]" for line in lines if line.split()[3] == "0A"}
    try:
        return any(os.readlink(fd) in listening for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        if gone(pid):  # its remaining entries in /proc are root's
            return False
        pytest.skip("the edge's descriptors can be read by root only")
    except OSError:  # it closed one meanwhile, or ended
        return not gone(pid)


def upgrade_whole(edge):
    """An upgrade after which no old worker takes a connection; returns the successor."""
    workers = edge.pids("worker")
    new = upgrade(edge)
    edge.wait_until(lambda: not any(listens(pid) for pid in workers), what="the end of listening")
    return new


@contextlib.contextmanager
def ends_whole(edge):
    """For edges that are upgraded: SIGTERM ends the last one and all before it."""
    try:
        yield edge
    finally:
        last = serving(edge)
        with contextlib.suppress(ProcessLookupError):
            os.kill(last, signal.SIGTERM)
        edge.wait_until(lambda: gone(last), PATIENCE * SLOW, "the end of the last supervisor")
        edge.wait_until(lambda: gone(edge.process.pid), PATIENCE * SLOW, "the end of the first supervisor")
        edge.kill()
        edge.check_reports()


@contextlib.contextmanager
def upgraded(edge):
    """SIGUSR2; yields the process id of the new supervisor when the old one has ended."""
    old = edge.process.pid
    start = len(edge.stderr.lines)
    edge.process.send_signal(signal.SIGUSR2)
    said(edge, "serves now", start)
    new = int((edge.run_dir / "boxedge.lock").read_text())
    assert new != old
    try:
        assert edge.process.wait(PATIENCE * SLOW) == 0
        yield new
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(new, signal.SIGTERM)
        edge.wait_until(lambda: gone(new), PATIENCE * SLOW, "the end of the new supervisor")
        edge.kill()
        edge.check_reports()


class Replaced:
    """A separate program file for the next edge; `by` replaces it."""

    def __init__(self, folder, monkeypatch):
        self.path, self.good, self.monkeypatch = folder / "boxedge", harness.BINARY, monkeypatch
        shutil.copy(self.good, self.path)
        monkeypatch.setattr(harness, "BINARY", self.path)

    def by(self, script):
        self.monkeypatch.setattr(harness, "BINARY", self.good)  # for commands
        self.path.unlink()
        self.path.write_text(script)
        self.path.chmod(0o755)
