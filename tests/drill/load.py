"""Mixed traffic over TLS at bounded rates, with its failures by kind: fresh and kept HTTP/1.1, POSTs that are not sent
again, streams of HTTP/2, uploads, slow answers, event streams, short and without an end, WebSockets over both versions,
and a process box."""

import asyncio
import collections
import json
import math
import random
import time

from connections import ERRORS, Failed, Http1, Http2, Trace, Unanswered, WebSocket

RATES = {"fresh": 30, "upload": 3, "slow": 3, "sse": 3, "process": 3}  # a second, each on a separate connection
KEPT, H2_CONNECTIONS = 8, 2
# Connections of POSTs without a pause. The head of each answer leaves before its events.
POSTS, POST_EVENTS, POST_MS = 4, 3, 40
# Event streams from the start to the finish; as many over HTTP/2. At the finish each must still bring an event.
STREAMS, STREAM_MS, STREAM_LOOK = 4, 100, 0.1
# Of the WebSockets, beside them over HTTP/2.
H2_WEBSOCKETS = 0.1
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
    `names` are hosts: an app, one with WebSockets, and a process box if there is one. `scale` multiplies rates,
    `patience` bounds an exchange."""

    def __init__(self, ports, names, context, websockets, scale=1.0, patience=PATIENCE):
        self.ports, self.app, self.ws_app = list(ports), *names[:2]
        self.box = names[2] if len(names) > 2 else None
        self.context, self.context_h2 = context(("http/1.1",)), context(("h2",))
        self.websockets, self.scale, self.patience = websockets, scale, patience
        self.done, self.again, self.failures = collections.Counter(), collections.Counter(), []
        self.running, self.tasks, self.drivers = True, set(), []
        self.random = random.Random(1)

    # ---- exchanges

    async def _exchange(self, kind, work, bounded=True):
        """Runs `work(trace)` and counts its result; its return value, or None."""
        trace = Trace(kind, time.monotonic())
        try:
            result = await asyncio.wait_for(work(trace), self.patience if bounded else None)
        except ERRORS as error:
            self.failures.append(Failure(kind, trace.begin, time.monotonic(), tuple(trace.ports), str(error) or repr(error)))
            return None
        self.done[kind] += 1
        return result

    async def _open(self, of, trace):
        h2 = issubclass(of, Http2)
        return await of.open(self.random.choice(self.ports), self.context_h2 if h2 else self.context,
                             self.ws_app if of is WebSocket else self.app, trace)

    def _head(self, target, *fields, host=None):
        return "\r\n".join([f"{target} HTTP/1.1", f"Host: {host or self.app}", *fields, "", ""]).encode()

    async def _one(self, trace, request, pieces=()):
        """A request on a separate connection; the body of the answer."""
        connection = await self._open(Http1, trace)
        try:
            return await connection.ask(request, pieces, UPLOAD_PAUSE)
        finally:
            connection.close()

    async def fresh(self, trace):
        await self._one(trace, self._head("GET /echo", "Connection: close"))

    async def process(self, trace):
        await self._one(trace, self._head("GET /", "Connection: close", host=self.box))

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
            body = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        held.append(connection)
        return body

    async def _post(self, held, trace):
        """On the connection that `held` has, unless its end is known. Never sent again."""
        if held and not held[0].usable():
            held.pop().close()
        if held:
            trace.ports.append(held[0].port)
        else:
            held.append(await self._open(Http1, trace))
        body = await self._ask(held, self._head(f"POST /sse?n={POST_EVENTS}&ms={POST_MS}", "Content-Length: 1") + b"x")
        if body.count(b"data: ") != POST_EVENTS:
            raise EOFError(f"{body.count(b'data: ')} of {POST_EVENTS} events")
        return body

    async def _follow(self, of, opened, trace):
        """An event stream without an end, until the finish and one event more."""
        connection = await self._open(of, trace)
        path = f"/sse?n=1000000&ms={STREAM_MS}"
        asked = asyncio.ensure_future(connection.ask(self.app, path) if of is Http2 else
                                      connection.ask(self._head(f"GET {path}")))
        try:
            last, since = 0, time.monotonic()
            while self.running or connection.events == last:
                if self.running:
                    last, since = connection.events, time.monotonic()
                elif time.monotonic() - since > self.patience:
                    raise Failed("no event comes")
                if connection.events:
                    opened.set()
                await asyncio.wait([asked], timeout=STREAM_LOOK)
                if asked.done():
                    asked.result()
                    raise Failed("the stream has ended")
            return True
        finally:
            asked.cancel()
            connection.close()

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

    async def _drive_posts(self):
        held = []
        while self.running:
            if await self._exchange("post", lambda trace: self._post(held, trace)) is None:
                await self._pause(AGAIN * self.random.uniform(0.5, 1.5))
        for connection in held:
            await connection.close_gently()

    async def _drive_stream(self, of, opened):
        while self.running:
            if await self._exchange("stream", lambda trace: self._follow(of, opened, trace), bounded=False) is None:
                opened.set()
                await self._pause(AGAIN)

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

    async def _tunnel(self, kind, opened):
        """One WebSocket, which opens anew after each failure."""
        socket = None

        async def greet(trace):
            if kind == "websocket":
                one = await self._open(WebSocket, trace)
                await one.greet(self.ws_app)
                return one
            connection = await self._open(Http2, trace)
            return await connection.tunnel(self.ws_app) or connection

        async def echo(trace):
            trace.ports.append(socket.port)
            await socket.echo(b"still there")
            return True

        while self.running:
            if socket is None:
                socket = await self._exchange("open", greet)
                opened.set()
                if isinstance(socket, Http2):  # this server has none over HTTP/2
                    socket.close()
                    return
            elif await self._exchange(kind, echo) is None:
                socket.close()
                socket = None
            if socket is None:
                await self._pause(AGAIN * self.random.uniform(0.5, 1.5))
            else:
                await self._pause(WEBSOCKET_EVERY * self.random.uniform(0.5, 1.5))
        if socket is not None:
            await self._exchange(kind, echo)  # the final echo on each
            await socket.close_gently()

    async def _pause(self, seconds):
        end = time.monotonic() + seconds
        while self.running and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))

    # ---- life

    async def start(self):
        streams = math.ceil(STREAMS * self.scale)
        works = ([("websocket", None)] * self.websockets
                 + [("h2-websocket", None)] * math.ceil(self.websockets * H2_WEBSOCKETS)
                 + [("stream", Http1), ("stream", Http2)] * streams)
        for n in range(0, len(works), BATCH):
            opened = []
            for kind, of in works[n : n + BATCH]:
                opened.append(asyncio.Event())
                self.drivers.append(asyncio.ensure_future(
                    self._drive_stream(of, opened[-1]) if of else self._tunnel(kind, opened[-1])))
            await asyncio.gather(*(event.wait() for event in opened))
        self.drivers += [asyncio.ensure_future(self._drive(kind)) for kind in RATES if kind != "process" or self.box]
        self.drivers += [asyncio.ensure_future(self._drive_posts()) for _ in range(math.ceil(POSTS * self.scale))]
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
