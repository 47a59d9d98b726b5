"""Mixed traffic over TLS at bounded rates, with its failures by kind: fresh and kept HTTP/1.1, streams of HTTP/2, uploads,
slow answers, event streams, WebSockets."""

import asyncio
import collections
import json
import random
import time

from connections import ERRORS, Http1, Http2, Trace, Unanswered, WebSocket

RATES = {"fresh": 30, "upload": 3, "slow": 3, "sse": 3}  # a second, each on a separate connection
KEPT, H2_CONNECTIONS = 8, 2
KEPT_EVERY, H2_EVERY = 0.3, 0.08
UPLOAD_PIECE, UPLOAD_PIECES, UPLOAD_PAUSE = b"u" * 32768, 8, 0.1
SLOW_MS, H2_SLOW_MS, SSE_EVENTS, SSE_MS = 1500, 400, 30, 50
WEBSOCKET_EVERY = 3.0
# WebSockets open in batches, so that their handshakes do not crowd out the rest.
BATCH, AGAIN = 16, 1.0
PATIENCE = 20.0  # seconds of an exchange

# `ports`: local ports of its connections. `began` and `ended` are of time.monotonic().
Failure = collections.namedtuple("Failure", "kind began ended ports why")


class Load:
    """The traffic to a server: from `start` until `finish`. `ports` are the listeners that new connections may choose.
    `scale` multiplies rates, `patience` bounds an exchange."""

    def __init__(self, ports, names, context, websockets, scale=1.0, patience=PATIENCE):
        self.ports, self.app, self.ws_app = list(ports), *names
        self.context, self.context_h2 = context(("http/1.1",)), context(("h2",))
        self.websockets, self.scale, self.patience = websockets, scale, patience
        self.done, self.again, self.failures = collections.Counter(), collections.Counter(), []
        self.running, self.tasks, self.drivers = True, set(), []
        self.random = random.Random(1)

    # ---- exchanges

    async def _exchange(self, kind, work):
        """Runs `work(trace)` and counts its result; its return value, or None."""
        trace = Trace(kind, time.monotonic())
        try:
            result = await asyncio.wait_for(work(trace), self.patience)
        except ERRORS as error:
            self.failures.append(Failure(kind, trace.begin, time.monotonic(), tuple(trace.ports), str(error) or repr(error)))
            return None
        self.done[kind] += 1
        return result

    async def _open(self, of, trace):
        h2 = of is Http2
        return await of.open(self.random.choice(self.ports), self.context_h2 if h2 else self.context,
                             self.ws_app if of is WebSocket else self.app, trace)

    def _head(self, target, *fields):
        return "\r\n".join([f"{target} HTTP/1.1", f"Host: {self.app}", *fields, "", ""]).encode()

    async def _one(self, trace, request, pieces=()):
        """A request on a separate connection; the body of the answer."""
        connection = await self._open(Http1, trace)
        try:
            return await connection.ask(request, pieces, UPLOAD_PAUSE)
        finally:
            connection.close()

    async def fresh(self, trace):
        await self._one(trace, self._head("GET /echo", "Connection: close"))

    async def slow(self, trace):
        await self._one(trace, self._head(f"GET /slow?ms={SLOW_MS}", "Connection: close"))

    async def sse(self, trace):
        body = await self._one(trace, self._head(f"GET /sse?n={SSE_EVENTS}&ms={SSE_MS}"))
        if body.count(b"data: ") != SSE_EVENTS:
            raise EOFError(f"{body.count(b'data: ')} of {SSE_EVENTS} events")

    async def upload(self, trace):
        size = len(UPLOAD_PIECE) * UPLOAD_PIECES
        answer = await self._one(trace, self._head("POST /echo", f"Content-Length: {size}"), [UPLOAD_PIECE] * UPLOAD_PIECES)
        if json.loads(answer)["body_bytes"] != size:
            raise EOFError("a part of the upload is missing")

    async def _kept(self, held, request, trace):
        """On the connection that `held` has. If it closes without a byte of the answer, once more on a new
        one."""
        if held and held[0].usable():
            trace.ports.append(held[0].port)
            try:
                return await self._ask(held, request)
            except Unanswered:
                self.again[trace.kind] += 1
        elif held:
            held.pop().close()
        held.append(await self._open(Http1, trace))
        return await self._ask(held, request)

    @staticmethod
    async def _ask(held, request):
        """A connection that failed is held no longer: a late answer must not meet the next request."""
        connection = held.pop()
        try:
            await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        held.append(connection)

    # ---- starting exchanges

    def _start(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _drive(self, kind):
        work, every = getattr(self, kind), 1 / (RATES[kind] * self.scale)
        while self.running:
            self._start(self._exchange(kind, work))
            await asyncio.sleep(every * self.random.uniform(0.5, 1.5))

    async def _drive_kept(self):
        held = []
        request = self._head("GET /echo")
        while self.running:
            await asyncio.sleep(KEPT_EVERY / self.scale * self.random.uniform(0.5, 1.5))
            await self._exchange("kept", lambda trace: self._kept(held, request, trace))
        for connection in held:
            await connection.close_gently()

    async def _drive_h2(self):
        """Streams overlap; half of them are open for a while."""
        held, many = [], 0
        opening = asyncio.Lock()

        async def one(path, trace):
            async with opening:
                if not (held and held[0].usable()):
                    if held:
                        self._start(self._retire(held.pop()))
                    held.append(await self._open(Http2, trace))
                connection = held[0]
            trace.ports.append(connection.port)
            return await connection.ask(self.app, path)

        async def ask(path, trace):
            try:
                await one(path, trace)
            except Unanswered:
                self.again["h2"] += 1
                await one(path, trace)

        while self.running:
            await asyncio.sleep(H2_EVERY / self.scale * self.random.uniform(0.5, 1.5))
            many += 1
            path = f"/slow?ms={H2_SLOW_MS}" if many % 2 else "/echo"
            self._start(self._exchange("h2", lambda trace, path=path: ask(path, trace)))
        while self.tasks:
            await asyncio.sleep(0.05)
        for connection in held:
            connection.close()

    @staticmethod
    async def _retire(connection):
        """A connection that takes no new stream ends with its last one."""
        while connection.streams:
            await asyncio.sleep(0.05)
        connection.close()

    async def _tunnel(self, opened):
        """One WebSocket, which opens anew after each failure."""
        socket = None

        async def greet(trace):
            one = await self._open(WebSocket, trace)
            await one.greet(self.ws_app)
            return one

        async def echo(trace):
            trace.ports.append(socket.port)
            await socket.echo(b"still there")
            return True

        while self.running:
            if socket is None:
                socket = await self._exchange("open", greet)
                opened.set()
            elif await self._exchange("websocket", echo) is None:
                socket.close()
                socket = None
            if socket is None:
                await self._pause(AGAIN * self.random.uniform(0.5, 1.5))
            else:
                await self._pause(WEBSOCKET_EVERY * self.random.uniform(0.5, 1.5))
        if socket is not None:
            await self._exchange("websocket", echo)  # the final echo on each
            await socket.close_gently()

    async def _pause(self, seconds):
        end = time.monotonic() + seconds
        while self.running and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))

    # ---- life

    async def start(self):
        for n in range(0, self.websockets, BATCH):
            opened = [asyncio.Event() for _ in range(min(BATCH, self.websockets - n))]
            self.drivers += [asyncio.ensure_future(self._tunnel(event)) for event in opened]
            await asyncio.gather(*(event.wait() for event in opened))
        self.drivers += [asyncio.ensure_future(self._drive(kind)) for kind in RATES]
        self.drivers += [asyncio.ensure_future(self._drive_kept()) for _ in range(KEPT)]
        self.drivers += [asyncio.ensure_future(self._drive_h2()) for _ in range(H2_CONNECTIONS)]

    async def finish(self):
        """Starts nothing more, and waits for the end of each open exchange."""
        self.running = False
        for driver in self.drivers:  # each ends within `patience`; an error of the drill itself shows here
            await driver
        while self.tasks:
            await asyncio.sleep(0.05)

    def total(self):
        return sum(self.done.values()) + len(self.failures)
