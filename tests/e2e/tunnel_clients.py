"""WebSockets through the edge to a box that echoes, for tests in which they outlive a worker's successor."""

import harness
from wire import PATIENCE

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def frame(opcode, payload):
    """A WebSocket frame as clients send it: masked, here with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def read_frame(client, timeout=PATIENCE):
    opcode, length = client.read_exactly(2, timeout)
    assert length < 126
    return opcode & 0x0F, client.read_exactly(length)


class Echoes:
    """`count` open WebSockets to `host`; `with` closes them."""

    def __init__(self, edge, host, *fields, count=12, kind="plain"):
        self.clients = []
        for _ in range(count):
            client = edge.connect(kind, host)
            self.clients.append(client)
            lines = ["GET /ws HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket",
                     "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}", *fields]
            answer = client.request(("\r\n".join(lines) + "\r\n\r\n").encode())
            assert answer.status == 101, answer.start

    def echo(self, word=b"still there"):
        for client in self.clients:
            client.send(frame(1, word))
        for client in self.clients:
            assert read_frame(client) == (1, word)

    def closed_with(self, code, timeout=PATIENCE):
        """Each gets a Close frame with that code, which it answers, and then the end."""
        for client in self.clients:
            opcode, payload = read_frame(client, timeout * harness.SLOW)
            assert opcode == 8 and int.from_bytes(payload[:2], "big") == code, (opcode, payload)
            client.send(frame(8, payload[:2]))
            assert client.wait_closed() in ("eof", "truncated")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
