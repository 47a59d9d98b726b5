"""Uploads of gigabytes to the API go through the edge without accumulating in it."""

import contextlib
import socket
import threading

from api_world import API, answer, api_config
from harness import PATIENCE, PORTS, SANITIZED, SLOW, Edge, RawOrigin

PIECE = 8 << 20
# Also more than a 31-bit count.
UPLOAD_BYTES = (128 << 20) if SANITIZED else (2 << 30)
# An exchange may hold a few hundred KiB; the allocator keeps some more.
MOST_KIB = 16 * 1024


@contextlib.contextmanager
def watched(edge):
    """A list whose only item is the most memory that the edge's processes had at any time, in KiB."""
    most, over = [edge.pss_kib()], threading.Event()

    def watch():
        while not over.wait(0.1):
            most[0] = max(most[0], edge.pss_kib())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def send_zeros(sock, path, length):
    """That many zero bytes, which the kernel takes from a file."""
    with open(path, "wb+") as file:
        file.truncate(PIECE)
        while length > 0:
            length -= sock.sendfile(file, 0, min(PIECE, length))


def throw_away(conn, length):
    """That many bytes, which the kernel throws away; their number."""
    taken = len(conn.buffer)
    while taken < length and (piece := conn.sock.recv(1 << 20, socket.MSG_TRUNC)):
        taken += len(piece)
    return taken


def test_gigabytes_pass_through(tmp_path):
    taken = []

    def box(conn):
        head = conn.read_head()
        assert head.get("content-length") == str(UPLOAD_BYTES)
        taken.append(throw_away(conn, UPLOAD_BYTES))
        conn.send(answer("stored", fields=["Connection: close"]))

    with RawOrigin(box) as server, Edge(tmp_path, config=api_config([server.port, PORTS.take()])) as edge:
        client = edge.connect("plain", API)
        with watched(edge) as most:
            before = most[0]
            client.send((f"POST /v2/box/x/files/upload HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k\r\n"
                         f"Content-Length: {UPLOAD_BYTES}\r\n\r\n").encode())
            send_zeros(client.sock, tmp_path / "zeros", UPLOAD_BYTES)
            response = client.read_message(PATIENCE * SLOW, "POST")
        assert (response.status, response.body) == (200, b"stored")
        assert taken == [UPLOAD_BYTES]
        line = edge.wait_for_line(kind="api")
        assert line["request_bytes"] == UPLOAD_BYTES
        if not SANITIZED:
            assert most[0] - before < MOST_KIB, f"{before} KiB before, {most[0]} KiB at most"
