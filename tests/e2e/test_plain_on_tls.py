"""Plain HTTP on a TLS port gets an answer that names the mistake."""

import pytest


@pytest.mark.parametrize("request_head", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"DELETE /x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n" + b"x" * 30000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
])
def test_http_is_told_to_use_https(edge, request_head):
    with edge.socket("tls") as sock:
        sock.sendall(request_head)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and f"Content-Length: {len(body)}".encode() in head
    assert b"https://" in body


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x00\x01\x00", b"\x00" * 64, b"hello there, server\n"])
def test_other_noise_gets_no_http(edge, noise):
    with edge.socket("tls") as sock:
        sock.sendall(noise)
        try:
            assert b"HTTP" not in b"".join(iter(lambda: sock.recv(65536), b""))
        except ConnectionResetError:
            pass
