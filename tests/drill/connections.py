"""Connections of the drill's clients over TLS: HTTP/1.1, HTTP/2 and WebSocket, on asyncio. Their clients
judge as browsers do: a request may be sent again only if no byte of an answer came, on a connection that the
server may have been closing."""

import asyncio
import contextlib
import socket
import ssl
import struct

import hpack
from h2wire import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, RST_STREAM, SETTINGS,
                    WINDOW_UPDATE, frame)
from tunnel_clients import KEY
from tunnel_clients import frame as websocket_frame
from wire import WireError, parse_head

REFUSED_STREAM = 7
ENABLE_CONNECT_PROTOCOL = 8  # RFC 8441
OPCODE_CLOSE = 8
# Errors by which an exchange can fail. ssl.SSLError is an OSError, asyncio.IncompleteReadError an EOFError.
ERRORS = (OSError, EOFError, asyncio.TimeoutError, WireError)


class Failed(WireError):
    """The exchange got no complete, good answer."""


class Unanswered(Failed):
    """No byte of an answer came, so that a client may send the request again."""


class Trace:
    """One exchange: when it began, and the local ports of its connections."""

    def __init__(self, kind, begin):
        self.kind, self.begin, self.ports = kind, begin, []


class Connection:
    """A TLS connection. `trace` gets its local port before the first byte."""

    def __init__(self, reader, writer, port):
        self.reader, self.writer, self.port = reader, writer, port

    @classmethod
    async def open(cls, port, context, name, trace):
        sock = socket.socket()
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            local = sock.getsockname()[1]
            trace.ports.append(local)
            reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=name)
        except BaseException:
            sock.close()
            raise
        return cls(reader, writer, local)

    def certificate(self):
        return self.writer.get_extra_info("ssl_object").getpeercert(True)

    def close(self):
        with contextlib.suppress(OSError, AttributeError):  # Python 3.11 raises the latter if it is closed already
            self.writer.transport.abort()

    async def close_gently(self):
        """With close_notify and FIN, like a finished client."""
        with contextlib.suppress(*ERRORS):
            self.writer.close()
            await asyncio.wait_for(self.writer.wait_closed(), 1)
        self.close()


class Http1(Connection):
    """One request after the other."""

    events = 0  # of the body that comes, so far

    reusable = True

    def usable(self):
        return self.reusable and not self.reader.at_eof() and not self.writer.is_closing()

    async def head(self):
        """The next head; Unanswered if the connection ended before its first byte."""
        try:
            return parse_head(await self.reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError as error:
            if not error.partial:
                raise Unanswered("closed without an answer") from None
            raise Failed(f"closed within a head: {error.partial[:80]!r}") from None
        except (ConnectionError, ssl.SSLError) as error:
            raise Unanswered(f"no answer: {error!r}") from None

    async def body(self, message):
        if message.get("Transfer-Encoding") != "chunked":
            return await self.reader.readexactly(int(message.get("Content-Length", 0)))
        body = bytearray()
        self.events = 0
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
            self.events += 1
        await self.reader.readexactly(2)
        return bytes(body)

    async def ask(self, request, pieces=(), pause=0.0):
        """Sends a request, and its body in pieces with pauses; the body of its 200."""
        self.writer.write(request)
        for piece in pieces:
            await asyncio.sleep(pause)
            self.writer.write(piece)
            await self.writer.drain()
        message = await self.head()
        body = await self.body(message)
        if message.get("Connection", "").lower() == "close":
            self.reusable = False
        if message.status != 200:
            raise Failed(f"{message.start.decode('latin-1')} {body[:120]!r}")
        return body


class Http2(Connection):
    """Streams of one connection; `run` reads until its end. Only small answers: windows are given back
    immediately."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.next, self.streams, self.going = 1, {}, False
        self.tunnels, self.takes_tunnels = {}, asyncio.get_running_loop().create_future()
        window = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535))
        self.writer.write(PREFACE + frame(SETTINGS) + window)
        self.task = asyncio.ensure_future(self._run())

    def usable(self):
        return not self.going and not self.writer.is_closing()

    def _begin(self, flags, method, name, path, *fields):
        """Sends a head; the number of its stream, and its answer to come."""
        stream, self.next = self.next, self.next + 2
        answer = asyncio.get_running_loop().create_future()
        self.streams[stream] = [answer, None, bytearray()]
        block = self.encoder.encode([(":method", method), (":scheme", "https"), (":authority", name), (":path", path),
                                     *fields])
        self.writer.write(frame(HEADERS, flags | END_HEADERS, stream, block))
        return stream, answer

    async def tunnel(self, name):
        """A WebSocket (RFC 8441); None if the server has none over HTTP/2."""
        if not await self.takes_tunnels:
            return None
        inbox = asyncio.StreamReader()
        self.tunnels[self.next] = inbox
        stream, answer = self._begin(0, "CONNECT", name, "/ws", (":protocol", "websocket"), ("sec-websocket-version", "13"))
        status, _ = await answer
        if status != "200":
            raise Failed(f"no WebSocket: {status}")
        return Http2Tunnel(self, stream, inbox)

    async def ask(self, name, path):
        """The body of a 200."""
        stream, answer = self._begin(END_STREAM, "GET", name, path)
        try:
            status, body = await answer
        finally:
            self.streams.pop(stream, None)
        if status != "200":
            raise Failed(f"status {status} {body[:120]!r}")
        return body

    @property
    def events(self):
        """Of the bodies that come, so far."""
        return sum(body.count(b"\n\n") for _, _, body in self.streams.values())

    def _fail(self, stream, error):
        if stream in self.tunnels:
            self.tunnels.pop(stream).set_exception(error)
        entry = self.streams.pop(stream, None)
        if entry is not None and not entry[0].done():
            entry[0].set_exception(error)

    def _take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            pairs = dict(struct.iter_unpack(">HI", payload))
            if not self.takes_tunnels.done():
                self.takes_tunnels.set_result(pairs.get(ENABLE_CONNECT_PROTOCOL) == 1)
            self.writer.write(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.writer.write(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.going = True
            last = int.from_bytes(payload[:4], "big")
            for refused in [n for n in self.streams if n > last]:
                self._fail(refused, Unanswered("GOAWAY before the stream"))
        elif kind == RST_STREAM:
            code = int.from_bytes(payload, "big")
            self._fail(stream, (Unanswered if code == REFUSED_STREAM else Failed)(f"RST_STREAM {code}"))
        elif kind == HEADERS:
            if not flags & END_HEADERS or flags & PADDED:
                raise Failed("a head in a form that this client does not read")
            fields = dict(self.decoder.decode(payload[5:] if flags & 0x20 else payload))
            if stream in self.streams:
                self.streams[stream][1] = fields.get(":status", self.streams[stream][1])
            self._head_came(stream)
        elif kind == DATA and stream in self.tunnels:
            self.tunnels[stream].feed_data(payload)
        elif kind == DATA and stream in self.streams:
            self.streams[stream][2] += payload
        if kind in (HEADERS, DATA) and flags & END_STREAM and stream in self.tunnels:
            self.tunnels.pop(stream).feed_eof()
        if kind in (HEADERS, DATA) and flags & END_STREAM and stream in self.streams:
            answer, status, body = self.streams[stream]
            if not answer.done():
                answer.set_result((status, bytes(body)))

    def _head_came(self, stream):
        """A tunnel is open with its head."""
        if stream in self.tunnels and stream in self.streams:
            answer, status, _ = self.streams.pop(stream)
            if not answer.done():
                answer.set_result((status, b""))

    async def _run(self):
        why = "the connection ended with open streams"
        try:
            while True:
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
                self._take(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload)
        except ERRORS as error:
            why += f" ({error!r})"
        finally:
            self.going = True
            if not self.takes_tunnels.done():
                self.takes_tunnels.set_exception(Failed(why))
                self.takes_tunnels.exception()  # nobody may wait for it
            for stream in [*self.streams, *self.tunnels]:
                self._fail(stream, Failed(why))

    def close(self):
        self.task.cancel()
        super().close()


class Echo:
    """Text messages to an app that echoes, over a client with `frames` to read from and `say` to write."""

    async def next(self):
        """(opcode, payload) of the next frame, of a short message."""
        opcode, length = await self.frames.readexactly(2)
        return opcode & 0x0F, await self.frames.readexactly(length)

    async def echo(self, word):
        self.say(websocket_frame(1, word))
        opcode, payload = await self.next()
        if opcode == OPCODE_CLOSE:
            self.say(websocket_frame(OPCODE_CLOSE, payload[:2]))
            raise Failed(f"Close {int.from_bytes(payload[:2], 'big')}")
        if (opcode, payload) != (1, word):
            raise Failed(f"frame {opcode} {payload[:40]!r} in place of an echo")


class Http2Tunnel(Echo):
    """A WebSocket on a stream of `connection`."""

    def __init__(self, connection, stream, inbox):
        self.connection, self.stream, self.frames, self.port = connection, stream, inbox, connection.port

    def say(self, data):
        self.connection.writer.write(frame(DATA, 0, self.stream, data))

    def close(self):
        self.connection.close()

    async def close_gently(self):
        self.connection.task.cancel()
        await self.connection.close_gently()


class WebSocket(Http1, Echo):
    """A WebSocket on a connection of its own."""

    frames = property(lambda self: self.reader)

    def say(self, data):
        self.writer.write(data)

    async def greet(self, name):
        lines = ["GET /ws HTTP/1.1", f"Host: {name}", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        message = await self.head()
        if message.status != 101:
            raise Failed(f"no WebSocket: {message.start.decode('latin-1')}")
