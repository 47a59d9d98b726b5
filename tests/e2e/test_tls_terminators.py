"""Real servers that terminate TLS in front of a plain listener with tls_terminated: sign-in, cookies and
WebSockets work, and the client's address is the one that they saw (docs/access.md, "Behind a server that
speaks TLS")."""

import ctypes
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

import wire
from access_world import COOKIE, SIGN_IN, App, Made, session_in
from harness import PATIENCE, PORTS, SLOW, Edge

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
    scgi_temp_path {dir}/s;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {pem}; ssl_certificate_key {pem};
        location / {{
            proxy_pass http://127.0.0.1:{plain};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering off;
            proxy_request_buffering off;
        }}
    }}
}}
"""

HAPROXY = """
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend f
    bind 127.0.0.1:{port} ssl crt {pem}
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    default_backend b
backend b
    server s 127.0.0.1:{plain}
"""

CADDY = """
{{
    admin off
    auto_https off
}}
:{port} {{
    bind 127.0.0.1
    tls {pem} {pem}
    reverse_proxy 127.0.0.1:{plain}
}}
"""

SERVERS = {
    "nginx": (NGINX, lambda conf: ["nginx", "-c", conf, "-e", "stderr"]),
    "haproxy": (HAPROXY, lambda conf: ["haproxy", "-db", "-f", conf]),
    "caddy": (CADDY, lambda conf: ["caddy", "run", "--adapter", "caddyfile", "--config", conf]),
}


def started(name, directory, plain):
    """The server's process and port, once it takes connections."""
    pem, port = directory / "pem", PORTS.take()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=*.preview.box.localhost", "-addext",
                    "subjectAltName=DNS:*.preview.box.localhost", "-keyout", str(pem) + ".key", "-out", str(pem) + ".crt"],
                   check=True, capture_output=True)
    pem.write_bytes(b"".join((directory / f"pem.{part}").read_bytes() for part in ("crt", "key")))
    text, command = SERVERS[name]
    conf = directory / "server.conf"
    conf.write_text(text.format(dir=directory, port=port, plain=plain, pem=pem))
    process = subprocess.Popen(command(str(conf)), cwd=directory, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                               "HOME": str(directory)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True,
                               preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL))
    deadline = time.monotonic() + PATIENCE * SLOW
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process, port
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, f"{name} does not start"
            time.sleep(0.02)


@pytest.fixture(params=SERVERS)
def front(request, tmp_path):
    if shutil.which(request.param, path="/usr/sbin:/usr/bin") is None:
        pytest.skip(f"{request.param} is not installed")
    listener_port = PORTS.take()
    config = {"listeners": [{"kind": "plain", "address": f"127.0.0.1:{listener_port}", "tls_terminated": True}],
              "trusted_proxies": ["127.0.0.1"]}
    with Edge(tmp_path / "edge", kinds=(), config=config) as edge:
        process, port = started(request.param, tmp_path, listener_port)
        edge.port["tls"] = port
        try:
            yield edge
        finally:
            process.terminate()  # nginx ends its worker, too
            process.wait(PATIENCE)


def ask(edge, host, path="/", fields=(), method="GET", body=b"", source="127.0.0.3"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(next(edge.directory.parent.glob("pem.crt")))
    sock = socket.create_connection(("127.0.0.1", edge.port["tls"]), PATIENCE, source_address=(source, 0))
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    with wire.Stream(sock, context, host) as client:
        return client.request("\r\n".join(lines).encode() + b"\r\n\r\n" + body, method)


def test_a_person_signs_in(front):
    with App() as app:
        made, host = Made(front, "box", app.port, "bearer"), front.host(app)
        forged = ["X-Forwarded-Proto: http", "X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6"]
        page = ask(front, host, "/deep", ["Accept: text/html", *forged])
        assert page.status == 401 and b"<form" in page.body
        form = ask(front, host, SIGN_IN, ["Content-Type: application/x-www-form-urlencoded", f"Origin: https://{host}"],
                   "POST", f"token={made.token}&next=/deep".encode())
        assert (form.status, form.get("location")) == (303, f"https://{host}/deep")
        cookie = f"Cookie: {COOKIE}={session_in(form.all('set-cookie'))}"
        assert ask(front, host, "/deep", [cookie, *forged]).status == 200
        seen = app.seen["/deep"]
        assert seen.all("x-forwarded-proto") == ["https"] and seen.all("x-forwarded-port") == ["443"]
        assert seen.all("x-forwarded-for") == ["127.0.0.3"] == seen.all("x-real-ip")
        assert "6.6.6.6" not in str(seen.fields)
        line = front.wait_for_line(path="/deep", status=200)
        assert (line["client"], line["proxy"], line["tls"]) == ("127.0.0.3", "127.0.0.1", True)
        handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Origin: https://{host}", cookie]
        assert ask(front, host, "/ws", handshake).status == 101


def test_a_stranger_locks_nobody_else_out(front):
    with App() as app:
        made, host = Made(front, "box", app.port, "bearer"), front.host(app)
        for i in range(11):
            ask(front, host, fields=[f"Authorization: Bearer wrong-{i}", f"X-Forwarded-For: 127.0.0.{i}"])
        right = [f"Authorization: Bearer {made.token}"]
        assert ask(front, host, fields=right).status == 429
        assert ask(front, host, fields=right, source="127.0.0.4").status == 200
