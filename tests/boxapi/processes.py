"""The processes of a box: one process group, which is frozen, thawed and ended as a whole.

A holder leads the group for as long as the box lives. It waits on a pipe whose other end only this process has: when
this process ends, for any reason, the holder kills the group. A command that leaves the group (setsid) survives.
"""

import contextlib
import os
import pathlib
import selectors
import signal
import socket
import subprocess
import threading
import time

from .errors import ClientLeft

HOLDER = "read -r _; kill -KILL 0"
READ_BYTES = 64 * 1024


class ProcessGroup:
    """Commands of one box."""

    def __init__(self):
        waits, self._leash = os.pipe()
        try:
            self._holder = subprocess.Popen(
                ["/bin/sh", "-c", HOLDER], stdin=waits, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                process_group=0)
        finally:
            os.close(waits)
        self._lock = threading.Lock()
        self._closed = False

    @property
    def id(self):
        return self._holder.pid

    def start(self, argv, directory, environment, merged):
        """A command; OSError if it cannot start. `merged`: stderr goes to stdout."""
        with self._lock:
            if self._closed:
                raise OSError("the box is gone")
            return Command(subprocess.Popen(
                argv, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE, process_group=self.id))

    def freeze(self):
        """All processes stop; the holder does not, so that it can still end them."""
        with self._lock:
            if not self._closed:
                os.killpg(self.id, signal.SIGSTOP)
                os.kill(self.id, signal.SIGCONT)
                self._await_stopped()

    def _await_stopped(self):
        """A running process stops a moment after the signal."""
        deadline = time.monotonic() + 5
        while any(state not in "TtZX" for state in self._states()) and time.monotonic() < deadline:
            time.sleep(0.002)

    def _states(self):
        """Of all processes of the group but its holder."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self.id:
                continue
            try:
                state, _, group = (entry / "stat").read_text().rpartition(") ")[2].split(" ")[:3]
            except (OSError, ValueError):
                continue  # it ended
            if int(group) == self.id:
                yield state

    def thaw(self):
        with self._lock:
            if not self._closed:
                os.killpg(self.id, signal.SIGCONT)

    def close(self):
        """Ends all processes."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.killpg(self.id, signal.SIGKILL)
            self._holder.wait()
            os.close(self._leash)


class Command:
    """One command and its output."""

    def __init__(self, process):
        self._process = process
        self._pipes = {"stdout": process.stdout, "stderr": process.stderr}

    def output(self, client=None):
        """Yields (stream, bytes) as the command prints them, until it has ended: its background processes may
        continue to print, which nobody reads. If the other side of `client` (a socket) closes it, the command
        is ended and ClientLeft raised. A caller that stops reading the output ends the command too."""
        try:
            with selectors.DefaultSelector() as selector, _pidfd(self._process.pid) as ended:
                selector.register(ended, selectors.EVENT_READ, "ended")
                if client is not None:
                    selector.register(client, selectors.EVENT_READ, "client")
                for name, pipe in self._pipes.items():
                    if pipe is not None:
                        os.set_blocking(pipe.fileno(), False)
                        selector.register(pipe, selectors.EVENT_READ, name)
                yield from self._read(selector, client)
        finally:
            self.close()

    def _read(self, selector, client):
        ended = False
        while not ended:
            for key, _ in selector.select():
                if key.data == "ended":
                    ended = True
                elif key.data == "client":
                    if _has_left(client):
                        raise ClientLeft
                    selector.unregister(client)  # its next request
                elif data := os.read(key.fd, READ_BYTES):
                    yield key.data, data
                else:
                    selector.unregister(key.fileobj)
        for name, pipe in self._pipes.items():
            while pipe is not None and (data := _what_is_there(pipe)):
                yield name, data

    def exit_code(self):
        """Once the output has ended; a signal counts as in a shell."""
        status = self._process.wait()
        return status if status >= 0 else 128 - status

    def close(self):
        """Ends the command and its descendants, if it still runs."""
        if self._process.poll() is None:
            for pid in [self._process.pid, *_descendants(self._process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        for pipe in self._pipes.values():
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def _pidfd(pid):
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _has_left(client):
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _what_is_there(pipe):
    try:
        return os.read(pipe.fileno(), READ_BYTES)
    except BlockingIOError:
        return b""


def _descendants(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                for child in map(int, children.read().split()):
                    found += [child, *_descendants(child)]
    return found
