"""Shared by the programs that compare the edge with other servers: a folder, a certificate, origins, ports, and a
network namespace."""

import ctypes
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import load
import proxies

HERE = pathlib.Path(__file__).resolve().parent
MEGABYTES = 10


class Bench:
    """Shared by all cases: folder, certificate, ports, origin."""

    box = "sweet-shark-26021"
    private_box = "quiet-otter-10007"  # its preview of the same origin is protected by a token
    token = "none"  # set if the edge is among the proxies

    def __init__(self, arguments):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="boxedge-bench-"))
        self.dir.chmod(0o755)
        self.idle = arguments.idle
        self.descriptors = os.sysconf("SC_OPEN_MAX")
        self._port = 15000 + os.getpid() % 4000
        self.cert, self.key = self.dir / "cert.pem", self.dir / "key.pem"
        self.origin_port, self.holder_port = self.take_port(), self.take_port()
        self.host = f"{self.box}-{self.origin_port}.{proxies.DOMAIN}"
        self.private_host = f"{self.private_box}-{self.origin_port}.{proxies.DOMAIN}"
        self.holder_host = f"{self.box}-{self.holder_port}.{proxies.DOMAIN}"
        self.api_ports = [self.take_port() for _ in range(3)]
        self.api_key = "box_" + os.urandom(16).hex()
        self.processes = []
        self.idle = min(self.idle, self.descriptors - 400)

    def take_port(self):
        while True:
            self._port += 1
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", self._port))
                    return self._port
                except OSError:
                    continue

    def start(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-keyout", self.key, "-out", self.cert, "-subj", f"/CN=*.{proxies.DOMAIN}",
             "-addext", f"subjectAltName=DNS:*.{proxies.DOMAIN}"], check=True, capture_output=True)
        # All proxies use the same cipher, against their own preference.
        self.openssl_conf = self.dir / "openssl.cnf"
        self.openssl_conf.write_text(
            "openssl_conf = top\n[top]\nssl_conf = ssl\n[ssl]\nsystem_default = suites\n"
            "[suites]\nCiphersuites = TLS_AES_128_GCM_SHA256\n")
        self.upload_file = self.dir / "upload"
        self.upload_file.write_bytes(os.urandom(MEGABYTES << 20))
        (self.dir / "large").write_bytes(os.urandom(MEGABYTES << 20))
        self.upload_script = self.dir / "upload.lua"
        self.upload_script.write_text(
            f'wrk.method = "POST"\nlocal f = io.open("{self.upload_file}", "rb")\nwrk.body = f:read("*a")\nf:close()\n')
        conf = self.dir / "origin.conf"
        conf.write_text(f"""\
daemon off; worker_processes 1; pid {self.dir}/origin.pid; error_log {self.dir}/origin.log; user root;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_max_body_size 0; client_body_temp_path {self.dir}/origin-body; client_body_buffer_size 64k;
  server {{
    {' '.join(f"listen 127.0.0.1:{port} backlog=4096;" for port in [self.origin_port, *self.api_ports])}
    location = /large {{ root {self.dir}; default_type application/octet-stream; }}
    location / {{ default_type text/plain; return 200 "{'x' * 127}\\n"; }}
  }}
}}
""")
        self.run(["nginx", "-p", self.dir, "-c", conf, "-e", self.dir / "origin.log"])
        self.run([sys.executable, HERE / "holder.py", "origin", self.holder_port], stdin=subprocess.PIPE)
        self.wait_listening(self.origin_port)
        self.wait_listening(self.holder_port)

    def run(self, command, **options):
        out = open(self.dir / "origins.output", "ab")
        options.setdefault("stdin", subprocess.DEVNULL)
        self.processes.append(subprocess.Popen(
            ["taskset", "-c", proxies.LOAD_CORE, *map(str, command)], stdout=out, stderr=out, start_new_session=True,
            **options))

    @staticmethod
    def wait_listening(port, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def check(self, proxy):
        """Sends one request over TLS and one plain; returns the version and cipher of TLS, to show unequal ciphers."""
        context = ssl.create_default_context(cafile=self.cert)
        with socket.create_connection(("127.0.0.1", proxy.tls), timeout=10) as sock:
            with context.wrap_socket(sock, server_hostname=self.host) as tls:
                self._expect_200(tls)
                negotiated = f"{tls.version()} {tls.cipher()[0]}"
        with socket.create_connection(("127.0.0.1", proxy.plain), timeout=10) as sock:
            self._expect_200(sock)
        return negotiated

    def _expect_200(self, sock):
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := sock.recv(4096):
            data += piece
        if not data.startswith(b"HTTP/1.1 200") or b"x" * 127 not in data:
            raise RuntimeError(f"unexpected answer: {data[:300]!r}")

    def settled_pss(self, proxy):
        """Returns the memory once it has moved by at most 64 KiB within 2 s; waits at most 20 s."""
        deadline, value, since = time.monotonic() + 20, proxy.pss_kib(), time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < 2:
            time.sleep(0.25)
            now = proxy.pss_kib()
            if abs(now - value) > 64:
                since = time.monotonic()
            value = now if abs(now - value) > 64 else value
        return proxy.pss_kib()

    def restart(self, proxy):
        proxy.stop()
        self.launch(proxy)

    def launch(self, proxy):
        proxy.start()
        self.wait_listening(proxy.tls)
        self.wait_listening(proxy.plain)
        proxy.prepare()

    def hold(self, kind, port, host, count):
        return Held([sys.executable, HERE / "holder.py", "hold", kind, port, host, count])

    def stop(self):
        for process in self.processes:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


class Held:
    """Connections that a separate process holds while the block runs."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            ["taskset", "-c", proxies.LOAD_CORE, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self.process.stdout.readline()
        if not line.startswith("held"):
            self.process.kill()
            raise load.LoadError(f"connections were not held: {line}{self.process.stderr.read()[-500:]}")

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()


def leave_the_network():
    """Moves this program and its children into a network namespace with only a loopback."""
    clone_newnet = 0x40000000  # linux/sched.h
    if not shutil.which("ip") or ctypes.CDLL(None).unshare(clone_newnet) != 0:
        return "in the machine's network: its packet filter counts"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return "in a separate network namespace"


def without_huge_pages():
    """Turns huge pages off for this program and its children: 2 MiB hide the memory of a few thousand connections."""
    pr_set_thp_disable = 41  # linux/prctl.h
    if ctypes.CDLL(None).prctl(pr_set_thp_disable, 1, 0, 0, 0) != 0:
        sys.exit("huge pages cannot be turned off here")
