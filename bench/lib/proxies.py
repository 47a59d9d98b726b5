"""The compared proxies, each configured for the same work with one worker: plain HTTP/1.1, and TLS with HTTP/1.1 and
HTTP/2. The Host selects one origin over kept connections, and reaches it unchanged. A file gets an access line for each
request."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import time

DOMAIN = "preview.box.localhost"
API = "api.boxes.localhost"
# A limit that proxies check and never reach, in requests a second.
API_RATE = 900000
PROXY_CORE, LOAD_CORE = "0", "1"
# Idle connections must outlive a measurement.
IDLE_SECONDS = 600


class Proxy:
    """One proxy under test: `plain` and `tls` are its ports."""

    name = None
    binary = None

    def __init__(self, bench):
        self.bench = bench
        self.dir = bench.dir / self.name
        self.dir.mkdir()
        self.plain, self.tls = bench.take_port(), bench.take_port()
        self.process = None

    @classmethod
    def available(cls):
        return shutil.which(cls.binary) is not None

    @classmethod
    def version(cls):
        raise NotImplementedError

    def configure(self):
        """Writes the configuration into self.dir; returns the command."""
        raise NotImplementedError

    def start(self):
        command = self.configure()
        out = open(self.dir / "output", "ab")
        self.process = subprocess.Popen(
            ["taskset", "-c", PROXY_CORE, *map(str, command)], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            cwd=self.dir, start_new_session=True, env={**os.environ, "OPENSSL_CONF": str(self.bench.openssl_conf)},
        )

    def output(self):
        return (self.dir / "output").read_text(errors="replace")[-3000:]

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait(5)

    def pids(self):
        """Every process of the proxy (they share its session)."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = pathlib.Path("/proc", entry, "stat").read_text()
                except OSError:
                    continue
                if int(stat[stat.rindex(")") + 2 :].split()[3]) == self.process.pid:
                    found.append(entry)
        return found

    def cpu_ns(self):
        """User and system time of all threads so far, in nanoseconds."""
        total = 0
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
                except OSError:
                    continue
        return total

    def pss_kib(self):
        total = 0
        for pid in self.pids():
            try:
                lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:  # the process has ended
                continue
            for line in lines:
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total

    def prepare(self):
        """Setup that needs the running proxy."""


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


class Boxedge(Proxy):
    name = "boxedge"
    sections = ""  # further ones of the configuration

    @classmethod
    def available(cls):
        return cls.binary is not None and os.access(cls.binary, os.X_OK)

    @classmethod
    def version(cls):
        return first_line(cls.binary, "version")

    def configure(self):
        (self.dir / "state").mkdir(exist_ok=True)
        (self.dir / "run").mkdir(exist_ok=True)
        self.config = self.dir / "boxedge.yaml"
        self.config.write_text(f"""\
listeners:
  - kind: plain
    address: 127.0.0.1:{self.plain}
  - kind: tls
    address: 127.0.0.1:{self.tls}
certificates:
  - chain: {self.bench.cert}
    key: {self.bench.key}
preview_domain: {DOMAIN}
node: bench
workers: 1
user: ""
state_dir: {self.dir}/state
run_dir: {self.dir}/run
log:
  access: {self.dir}/access.log
limits:
  connections_per_client: 0
  connections: 20000
timeouts:
  keep_alive: {IDLE_SECONDS}s
boxes:
  - id: {self.bench.box}
    address: 127.0.0.1
    ports: [{self.bench.origin_port}, {self.bench.holder_port}]
  - id: {self.bench.private_box}
    address: 127.0.0.1
    ports: [{self.bench.origin_port}]
upstreams:
  - name: api
    servers: [{", ".join(f'"127.0.0.1:{port}"' for port in self.bench.api_ports)}]
plans:
  - {{name: bench, rate: {API_RATE}/s, burst: {API_RATE}, in_flight: 10000}}
api:
  hosts: [{API}]
  upstream: api
  keys: [{{name: bench, sha256: {hashlib.sha256(self.bench.api_key.encode()).hexdigest()}, plan: bench}}]
{self.sections}""")
        return [self.binary, "run", "-c", self.config]

    def prepare(self):
        for port in (self.bench.origin_port, self.bench.holder_port):
            self.create_preview(self.bench.box, port)
        made = self.create_preview(self.bench.private_box, self.bench.origin_port, "--bearer", "--json")
        self.bench.token = json.loads(made)["token"]

    def create_preview(self, box, port, *options):
        for _ in range(50):
            done = subprocess.run(
                [self.binary, "preview", "create", box, str(port), *options, "-c", str(self.config)],
                capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout
            time.sleep(0.1)
        raise RuntimeError(f"boxedge preview create: {done.stdout}{done.stderr}")


def build(name, binary):
    """Another build of boxedge, as a proxy with this name."""
    return type(name, (Boxedge,), {"name": name, "binary": binary})


class Nginx(Proxy):
    name = "nginx"
    binary = "nginx"
    log_options = ""

    @classmethod
    def version(cls):
        return first_line("nginx", "-v")

    def configure(self):
        conf = self.dir / "nginx.conf"
        conf.write_text(f"""\
daemon off; worker_processes 1; pid {self.dir}/pid; error_log {self.dir}/error.log; user root;
worker_rlimit_nofile 20000;
events {{ worker_connections 19900; }}
http {{
  access_log {self.dir}/access.log combined{self.log_options};
  keepalive_timeout {IDLE_SECONDS}s; keepalive_requests 1000000000; client_max_body_size 0;
  client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy;
  ssl_certificate {self.bench.cert}; ssl_certificate_key {self.bench.key}; ssl_protocols TLSv1.2 TLSv1.3;
  proxy_read_timeout {IDLE_SECONDS}s;
  map $host $backend {{
    "~^[a-z0-9][a-z0-9_-]*-{self.bench.origin_port}\\.preview\\.box\\.localhost$" origin;
    "~^[a-z0-9][a-z0-9_-]*-{self.bench.holder_port}\\.preview\\.box\\.localhost$" holder;
    default "";
  }}
  map $http_x_box_api_key $key_name {{ "{self.bench.api_key}" bench; default ""; }}
  limit_req_zone $http_x_box_api_key zone=rate:16m rate={API_RATE}r/s;
  limit_conn_zone $http_x_box_api_key zone=flight:16m;
  upstream api {{
    zone api 1m; random two least_conn;
    {" ".join(f"server 127.0.0.1:{port};" for port in self.bench.api_ports)}
    keepalive 256; keepalive_requests 1000000000;
  }}
  upstream origin {{ server 127.0.0.1:{self.bench.origin_port}; keepalive 256; keepalive_requests 1000000000; }}
  upstream holder {{ server 127.0.0.1:{self.bench.holder_port}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{self.plain} backlog=4096 reuseport;
    listen 127.0.0.1:{self.tls} ssl http2 backlog=4096 reuseport;
    server_name {API};
    limit_req_status 429; limit_conn_status 429;
    location / {{
      if ($key_name = "") {{ return 401; }}
      limit_req zone=rate burst={API_RATE} nodelay; limit_conn flight 10000;
      proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
  server {{
    listen 127.0.0.1:{self.plain};
    listen 127.0.0.1:{self.tls} ssl http2;
    server_name *.{DOMAIN};
    location / {{
      proxy_pass http://$backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
    location /ws {{
      proxy_pass http://$backend; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    }}
    location /stream {{
      proxy_pass http://$backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_request_buffering off;
    }}
  }}
}}
""")
        return ["nginx", "-p", self.dir, "-c", conf, "-e", self.dir / "error.log"]


class NginxBuffered(Nginx):
    """nginx that writes its log 64 KiB at a time: not its default, but a usual setting of busy sites."""

    name = "nginx-buflog"
    log_options = " buffer=64k flush=1s"


class Haproxy(Proxy):
    name = "haproxy"
    binary = "haproxy"

    @classmethod
    def version(cls):
        return " ".join(first_line("haproxy", "-v").split()[:3])

    def configure(self):
        pem = self.dir / "both.pem"
        pem.write_text(self.bench.cert.read_text() + self.bench.key.read_text())
        hosts = self.dir / "hosts.map"
        keys = self.dir / "keys.map"
        keys.write_text(f"{self.bench.api_key} bench\n")
        servers = "\n".join(
            f"  server s{n} 127.0.0.1:{port} pool-max-conn 256" for n, port in enumerate(self.bench.api_ports))
        hosts.write_text(f"{API} api\n{self.bench.host} origin\n{self.bench.private_host} origin\n{self.bench.holder_host} holder\n")
        conf = self.dir / "haproxy.cfg"
        conf.write_text(f"""\
global
  nbthread 1
  no strict-limits
  maxconn 19000
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  http-reuse always
  timeout connect 5s
  timeout client {IDLE_SECONDS}s
  timeout server {IDLE_SECONDS}s
  timeout tunnel {IDLE_SECONDS}s
  timeout http-keep-alive {IDLE_SECONDS}s
frontend f
  bind 127.0.0.1:{self.plain} backlog 4096
  bind 127.0.0.1:{self.tls} ssl crt {pem} alpn h2,http/1.1 backlog 4096
  option forwardfor
  use_backend %[req.hdr(host),field(1,:),lower,map_str({hosts},none)]
backend origin
  server s 127.0.0.1:{self.bench.origin_port} pool-max-conn 256
backend api
  balance random(2)
  stick-table type string len 64 size 64k expire 60s store http_req_rate(1s),conn_cur
  http-request deny deny_status 401 unless {{ req.hdr(x-box-api-key),map_str({keys}) -m found }}
  http-request track-sc0 req.hdr(x-box-api-key)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {API_RATE} }}
  http-request deny deny_status 429 if {{ sc_conn_cur(0) gt 10000 }}
{servers}
backend holder
  server s 127.0.0.1:{self.bench.holder_port}
backend none
  http-request deny deny_status 404
""")
        return ["haproxy", "-db", "-f", conf]


class H2o(Proxy):
    name = "h2o"
    binary = "h2o"

    @classmethod
    def version(cls):
        return first_line("h2o", "-v")

    def configure(self):
        conf = self.dir / "h2o.conf"
        hosts = "".join(
            f"""\
  "{host}":
    paths:
      "/":
        proxy.reverse.url: http://127.0.0.1:{port}/
"""
            for host, port in (
                (self.bench.host, self.bench.origin_port), (self.bench.private_host, self.bench.origin_port),
                (self.bench.holder_host, self.bench.holder_port))
        )
        conf.write_text(f"""\
user: root
num-threads: 1
max-connections: 19000
tcp-fastopen: 0
pid-file: {self.dir}/pid
error-log: {self.dir}/error.log
access-log: {self.dir}/access.log
http1-request-timeout: {IDLE_SECONDS}
http2-idle-timeout: {IDLE_SECONDS}
limit-request-body: 1073741824
proxy.preserve-host: ON
proxy.websocket: ON
proxy.websocket.timeout: {IDLE_SECONDS}000
proxy.timeout.keepalive: 10000
listen:
  host: 127.0.0.1
  port: {self.plain}
listen:
  host: 127.0.0.1
  port: {self.tls}
  ssl:
    certificate-file: {self.bench.cert}
    key-file: {self.bench.key}
    minimum-version: TLSv1.2
hosts:
{hosts}""")
        return ["h2o", "-m", "worker", "-c", conf]


class Nghttpx(Proxy):
    name = "nghttpx"
    binary = "nghttpx"

    @classmethod
    def version(cls):
        return first_line("nghttpx", "--version")

    def configure(self):
        conf = self.dir / "nghttpx.conf"
        conf.write_text(f"""\
frontend=127.0.0.1,{self.plain};no-tls
frontend=127.0.0.1,{self.tls}
backend=127.0.0.1,{self.bench.origin_port};{self.bench.host}/
backend=127.0.0.1,{self.bench.origin_port};{self.bench.private_host}/
backend=127.0.0.1,{self.bench.holder_port};{self.bench.holder_host}/
backend=127.0.0.1,9;/
private-key-file={self.bench.key}
certificate-file={self.bench.cert}
workers=1
single-process=yes
rlimit-nofile=20000
accesslog-file={self.dir}/access.log
errorlog-file={self.dir}/error.log
no-ocsp=yes
host-rewrite=no
add-x-forwarded-for=yes
frontend-keep-alive-timeout={IDLE_SECONDS}s
frontend-read-timeout={IDLE_SECONDS}s
frontend-write-timeout={IDLE_SECONDS}s
backend-read-timeout={IDLE_SECONDS}s
backend-write-timeout={IDLE_SECONDS}s
backend-connections-per-frontend=0
""")
        return ["nghttpx", f"--conf={conf}"]


PROXIES = {c.name: c for c in (Boxedge, Nginx, NginxBuffered, Haproxy, H2o, Nghttpx)}
DEFAULT = ["boxedge", "nginx", "haproxy", "h2o", "nghttpx"]
