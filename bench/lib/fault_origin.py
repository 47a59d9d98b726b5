"""An HTTP/1.1 server that fails on command, for bench/faults.

    python3 fault_origin.py PORT LOG

Each complete request is a line "METHOD ID" in LOG. The line comes before the answer, so the log shows the requests that
a killed server had accepted. The answer follows after 2 ms. A line on standard input sets the mode:

    well     answers immediately
    slow     answers SLOW seconds later
    500      answers 500, also to checks
    reset    resets the connection in the middle of a body; answers checks
    refuse   closes its listener, and its connections once they are idle
"""

import asyncio
import os
import re
import socket
import struct
import sys

SERVICE, SLOW = 0.002, 0.3
BODY = b"x" * 2000
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


class Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, origin):
        self.origin, self.data, self.busy, self.transport = origin, b"", False, None

    def connection_made(self, transport):
        self.transport = transport
        self.origin.connections.add(self)

    def connection_lost(self, _error):
        self.origin.connections.discard(self)

    def data_received(self, data):
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0 or self.busy:
            return
        length = LENGTH.search(self.data, 0, end)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self.data) < whole:
            return
        method, path = self.data.split(b" ", 2)[:2]
        self.data = self.data[whole:]
        self.busy = True
        check = path == b"/health"
        if not check:
            os.write(self.origin.log, method + b" " + path.rsplit(b"/", 1)[1] + b"\n")
        delay = SERVICE + (SLOW if self.origin.mode == "slow" else 0)
        asyncio.get_running_loop().call_later(delay, self.answer, check)

    def answer(self, check):
        self.busy = False
        if self.transport.is_closing():
            return
        mode = self.origin.mode
        if mode == "500":
            self.transport.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nsorry")
            return
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        if mode == "reset" and not check:
            self.transport.write(head + BODY[: len(BODY) // 2])
            asyncio.get_running_loop().call_later(SERVICE, self.reset)
            return
        self.transport.write(head + BODY)
        if mode == "refuse":
            self.transport.close()

    def reset(self):
        if not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


class Origin:
    """The server, its mode and its connections."""

    def __init__(self, port, log):
        self.port, self.mode, self.connections, self.server = port, "well", set(), None
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def listen(self):
        self.server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), "127.0.0.1", self.port, backlog=512)

    async def set_mode(self, mode):
        if mode == "refuse":
            self.server.close()
            self.server = None
            for connection in [c for c in self.connections if not c.busy]:
                connection.transport.close()
        elif self.server is None:
            await self.listen()
        self.mode = mode

    async def run(self):
        await self.listen()
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        print("ready", flush=True)
        while line := await lines.readline():
            await self.set_mode(line.decode().strip())


if __name__ == "__main__":
    asyncio.run(Origin(int(sys.argv[1]), sys.argv[2]).run())
