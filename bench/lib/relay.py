"""A relay of bytes between the edge and an engine or a control plane. It records the times of calls."""

import contextlib
import socket
import threading
import time


class Call:
    """From the first byte of a request to the last one of its answer, in nanoseconds of the monotonic clock."""

    def __init__(self, line):
        self.line, self.answered = line, False
        self.begin = self.end = time.monotonic_ns()


class Relay:
    """Accepts from `listener` (a listening socket) and relays each connection to a socket of connect()."""

    def __init__(self, listener, connect):
        self.listener, self.connect = listener, connect
        self.lock, self.calls = threading.Lock(), []
        self.open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def take(self):
        """The calls since the last take. The subscription to events is left out: it never ends."""
        with self.lock:
            calls, self.calls = self.calls, [c for c in self.calls if not c.answered]
        return [c for c in calls if c.answered and b"/events" not in c.line]

    def close(self):
        self.listener.close()
        for sock in list(self.open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                far = self.connect()
                for sock in (near, far):
                    self.open.add(sock)
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pair = {"near": near, "far": far, "call": None}
                for work in (self._there, self._back):
                    threading.Thread(target=work, args=(pair,), daemon=True).start()

    def _there(self, pair):
        self._pump(pair["near"], pair["far"], lambda data: self._asked(pair, data))

    def _back(self, pair):
        self._pump(pair["far"], pair["near"], lambda data: self._answered(pair))

    def _pump(self, source, target, note):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                note(data)
                target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            self.open.discard(sock)

    def _asked(self, pair, data):
        with self.lock:
            if pair["call"] is None or pair["call"].answered:
                pair["call"] = Call(data[:200].partition(b"\r")[0])
                self.calls.append(pair["call"])

    def _answered(self, pair):
        with self.lock:
            if pair["call"] is not None:
                pair["call"].answered, pair["call"].end = True, time.monotonic_ns()


def covered(intervals, begin, end):
    """The length of the part of begin..end that lies in any of the intervals."""
    total, at = 0, begin
    for first, last in sorted(intervals):
        first, last = max(first, at), min(last, end)
        if last > first:
            total, at = total + last - first, last
    return total
