"""The proxies of bench/faults, configured for the same job: requests to three servers over kept connections, each to
the less busy of two random servers. Servers get a check every 500 ms if the proxy has checks. A server that fails five
times pauses for a second. A connection and the first byte may each take one second. A request without an answer goes to
another server, at most twice, if its method is safe to repeat or no byte of it was sent."""

import hashlib
import os
import shutil
import subprocess

HOST = "api.boxes.localhost"
KEY = "box_00112233445566778899aabbccddeeff"


class Proxy:
    """One proxy at `port`, with `workers` workers, in its own directory."""

    name = None
    binary_name = None

    def __init__(self, directory, port, origins, workers, binary):
        self.dir, self.port, self.origins, self.workers, self.binary = directory, port, origins, workers, binary
        self.process = None
        directory.mkdir(parents=True)

    @classmethod
    def available(cls, _binary):
        return shutil.which(cls.binary_name) is not None

    @classmethod
    def version(cls, _binary):
        done = subprocess.run([cls.binary_name, "-v"], capture_output=True, text=True, check=False)
        return " ".join((done.stdout + done.stderr).split("\n")[0].split()[:3])

    def configure(self):
        """Writes the configuration; returns the command."""
        raise NotImplementedError

    def start(self):
        with open(self.dir / "output", "ab") as out:
            self.process = subprocess.Popen(
                list(map(str, self.configure())), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir,
                start_new_session=True)

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
        self.process = None


class Boxedge(Proxy):
    name = "boxedge"

    @classmethod
    def available(cls, binary):
        return os.access(binary, os.X_OK)

    @classmethod
    def version(cls, binary):
        return subprocess.run([binary, "version"], capture_output=True, text=True, check=False).stdout.strip()

    def configure(self):
        (self.dir / "state").mkdir()
        (self.dir / "run").mkdir()
        servers = ", ".join(f'"127.0.0.1:{port}"' for port in self.origins)
        (self.dir / "boxedge.yaml").write_text(f"""\
listeners: [{{kind: plain, address: "127.0.0.1:{self.port}"}}]
preview_domain: preview.box.localhost
public_port: {self.port}
workers: {self.workers}
user: ""
state_dir: {self.dir}/state
run_dir: {self.dir}/run
log: {{access: {self.dir}/access.log}}
limits: {{connections_per_client: 0}}
timeouts: {{connect: 1s, drain: 1s}}
upstreams:
  - name: api
    servers: [{servers}]
    health_path: /health
    health_interval: 500ms
    health_timeout: 500ms
    health_fall: 2
    health_rise: 2
    eject_failures: 5
    eject_time: 1s
    slow_start: 1s
    panic_percent: 0
    first_byte: 1s
plans: [{{name: bench, rate: 1000000/s, burst: 1000000, in_flight: 10000}}]
api:
  hosts: [{HOST}]
  upstream: api
  keys: [{{name: bench, sha256: {hashlib.sha256(KEY.encode()).hexdigest()}, plan: bench}}]
""")
        return [self.binary, "run", "-c", self.dir / "boxedge.yaml"]


class Haproxy(Proxy):
    name = binary_name = "haproxy"

    def configure(self):
        servers = "\n".join(f"  server s{n} 127.0.0.1:{port}" for n, port in enumerate(self.origins))
        (self.dir / "haproxy.cfg").write_text(f"""\
global
  nbthread {self.workers}
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  http-reuse safe
  timeout connect 1s
  timeout client 60s
  timeout server 1s
  timeout http-keep-alive 60s
frontend f
  bind 127.0.0.1:{self.port} backlog 4096
  option forwardfor
  default_backend api
backend api
  balance random(2)
  option httpchk GET /health
  retries 2
  option redispatch 1
  retry-on conn-failure empty-response response-timeout
  http-request disable-l7-retry unless METH_GET
  default-server check inter 500ms fall 2 rise 2 observe layer7 error-limit 5 on-error mark-down slowstart 1s
{servers}
""")
        return ["haproxy", "-db", "-f", self.dir / "haproxy.cfg"]


class Nginx(Proxy):
    """Counts a 500 as a failure only if it repeats the request after it: see NginxRepeats."""

    name = binary_name = "nginx"
    repeats = "error timeout"

    def configure(self):
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=5 fail_timeout=1s;" for port in self.origins)
        (self.dir / "nginx.conf").write_text(f"""\
daemon off; worker_processes {self.workers}; pid {self.dir}/pid; error_log {self.dir}/error.log; user root;
events {{ worker_connections 4096; }}
http {{
  access_log {self.dir}/access.log combined;
  keepalive_timeout 60s; keepalive_requests 1000000000;
  client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy;
  upstream api {{ zone api 1m; random two least_conn; {servers} keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096 reuseport;
    location / {{
      proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_connect_timeout 1s; proxy_read_timeout 1s;
      proxy_next_upstream {self.repeats}; proxy_next_upstream_tries 3;
    }}
  }}
}}
""")
        return ["nginx", "-p", self.dir, "-c", self.dir / "nginx.conf", "-e", self.dir / "error.log"]


class NginxRepeats(Nginx):
    """Goes further than the job: repeats a GET at another server also after an answer of 500."""

    name = "nginx-500"
    repeats = "error timeout http_500"


PROXIES = (Boxedge, Haproxy, Nginx, NginxRepeats)
