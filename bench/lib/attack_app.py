#!/usr/bin/python3
"""The app behind the edge in bench/attack: /silent never answers, /big?n=N sends N bytes, other paths
answer "ok"."""

import asyncio
import resource
import sys
import urllib.parse

PIECE = b"x" * 65536


async def answer(reader, writer, target):
    url = urllib.parse.urlsplit(target)
    if url.path == "/silent":
        await reader.read()
        return False
    n = int(urllib.parse.parse_qs(url.query).get("n", ["3"])[0]) if url.path == "/big" else 3
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % n)
    for at in range(0, n, len(PIECE)):
        writer.write(PIECE[: n - at] if url.path == "/big" else b"ok\n")
        await writer.drain()
    return True


async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if not await answer(reader, writer, head.split(b" ", 2)[1].decode("latin-1")):
                break
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), limit=262144, backlog=4096)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
