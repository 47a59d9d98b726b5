"""The load of bench/faults: requests at a fixed rate over kept connections, independent of earlier requests. Each
has a unique id in its path, which finds it in the origins' logs afterwards."""

import asyncio
import collections
import re

from fault_proxies import HOST, KEY

# `status` 0: no whole answer came. Times are of the loop's clock; latency counts from the due time of the request.
Result = collections.namedtuple("Result", "id method due latency status")

TIMEOUT = 10.0
POSTS = 0.3
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


class Connection(asyncio.Protocol):
    """A connection to the proxy; `ask` sends one request at a time."""

    def __init__(self):
        self.data, self.answer, self.transport, self.need, self.status = b"", None, None, None, 0

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, request):
        self.answer = asyncio.get_running_loop().create_future()
        self.data, self.need = b"", None
        if self.transport.is_closing():
            self.answer.set_result(0)
        else:
            self.transport.write(request)
        return self.answer

    def finish(self, status):
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(status)

    def connection_lost(self, _error):
        self.finish(0)

    def data_received(self, data):
        self.data += data
        if self.need is None:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return
            length = LENGTH.search(self.data, 0, end)
            self.status = int(self.data[9:12])
            self.need = end + 4 + int(length[1]) if length else -1
        if self.need == -1:  # chunked
            if self.data.endswith(b"\r\n0\r\n\r\n"):
                self.finish(self.status)
        elif len(self.data) >= self.need:
            self.finish(self.status)

    def reusable(self):
        return not self.transport.is_closing() and b"\r\nconnection: close" not in self.data[:1000].lower()


class Load:
    """Sends to `port` until `stop`; `results` has the ended requests."""

    def __init__(self, port, rate, random):
        self.port, self.rate, self.random = port, rate, random
        self.idle, self.results, self.tasks, self.next_id, self.running = [], [], set(), 0, True

    def request(self, number):
        method = "POST" if self.random.random() < POSTS else "GET"
        body = b"y" * 500 if method == "POST" else b""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = (f"{method} /v2/box/b{number % 50}/{number} HTTP/1.1\r\nHost: {HOST}\r\nX-Box-Api-Key: {KEY}\r\n{length}\r\n")
        return method, head.encode() + body

    async def one(self, number, due):
        loop = asyncio.get_running_loop()
        method, request = self.request(number)
        status, connection = 0, None
        try:
            while self.idle and connection is None:
                connection = self.idle.pop()
                if connection.transport.is_closing():
                    connection = None
            if connection is None:
                _, connection = await loop.create_connection(Connection, "127.0.0.1", self.port)
            status = await asyncio.wait_for(connection.ask(request), TIMEOUT)
        except (OSError, asyncio.TimeoutError):
            pass
        self.results.append(Result(number, method, due, loop.time() - due, status))
        if connection is None:
            return
        if status and connection.reusable():
            self.idle.append(connection)
        else:
            connection.transport.abort()

    async def run(self):
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self.running:
            now = loop.time()
            while due <= now:
                task = loop.create_task(self.one(self.next_id, due))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
                self.next_id += 1
                due += 1 / self.rate
            await asyncio.sleep(max(0, due - loop.time()))
        if self.tasks:
            await asyncio.wait(self.tasks)
        for connection in self.idle:
            connection.transport.abort()
