#!/usr/bin/python3
"""The well-behaved client of bench/attack: sends a request every 20 ms, half of them on fresh connections, until its
standard input ends. Prints JSON: the number of requests, the number of 200s within a second, the 99th percentile in ms,
and the statuses.

usage: attack_client.py SOURCE_ADDRESS PORT HOST
"""

import collections
import json
import select
import socket
import sys
import time

WITHIN_SECONDS = 1.0
PERIOD_SECONDS = 0.02


class Client:
    def __init__(self, source, port, host):
        self.source, self.port, self.sock = source, port, None
        self.request = f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    def close(self):
        if self.sock is not None:
            self.sock.close()
        self.sock = None

    def exchange(self):
        """The status, or the name of the error."""
        try:
            if self.sock is None:
                self.sock = socket.create_connection(("127.0.0.1", self.port), 5 * WITHIN_SECONDS, (self.source, 0))
            self.sock.sendall(self.request)
            data = b""
            while b"\r\n\r\n" not in data:
                piece = self.sock.recv(65536)
                if not piece:
                    raise OSError("closed")
                data += piece
        except OSError as error:
            self.close()
            return type(error).__name__
        if not data.endswith(b"ok\n"):
            self.close()
        return data.split(b" ", 2)[1].decode()


def main():
    client = Client(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    statuses, times, good, count = collections.Counter(), [], 0, 0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], PERIOD_SECONDS)[0]:
        begin = time.monotonic()
        status = client.exchange()
        took = time.monotonic() - begin
        count += 1
        if count % 2:
            client.close()
        statuses[status] += 1
        times.append(took)
        good += status == "200" and took <= WITHIN_SECONDS
    times.sort()
    p99 = times[min(len(times) - 1, len(times) * 99 // 100)] * 1000 if times else None
    print(json.dumps({"requests": count, "good": good, "p99_ms": p99, "statuses": statuses}))


if __name__ == "__main__":
    main()
