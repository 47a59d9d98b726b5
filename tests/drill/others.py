"""nginx and HAProxy, configured for the same job and restarted, reloaded and upgraded like their Debian
packages."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

import fault_proxies
from harness import DOMAIN
from processes import gone
from servers import FAILING, HANGING, HUNG_S, DRAIN_S, Server, Skip

CHECK_S = 5


def children(pid):
    """Living children of a process, with their titles."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
                if int(parent) == pid and state != "Z":
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


class Other(Server, fault_proxies.Proxy):
    """Starts a copy of the Debian program, whose file can be replaced."""

    roles = ("worker", "supervisor")

    def __init__(self, directory, keys, apps):
        Server.__init__(self, directory, keys, apps)
        self.dir, self.process = directory, None
        self.good, self.binary = pathlib.Path(shutil.which(self.binary_name)), directory / self.binary_name
        shutil.copy(self.good, self.binary)

    @classmethod
    def version(cls):
        return fault_proxies.Proxy.version.__func__(cls, None)

    def start(self):
        fault_proxies.Proxy.start(self)
        self.wait(self.is_up, "a start")
        return self

    def is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {self.output()}")
        return self.answers()

    def answers(self):
        try:
            return bool(self.shown())
        except OSError:
            return False

    def prepare(self):
        """Its configuration has the apps."""

    def change(self, **settings):
        if "process" in settings:
            raise Skip
        super().change(**settings)

    def renew(self, name):
        """The hook of an ACME client reloads it."""
        self.keys.put(name)
        self.reload()
        self.wait_until_shown(name)

    def hang(self, role):
        raise Skip

    def pids(self, role):
        """The supervisor is their master."""
        if role not in self.roles:
            raise Skip
        return [self.master()] if role == "supervisor" else self.workers()

    def kill_all(self):
        """SIGKILL to the master, and by systemd to its remaining processes; then a start."""
        workers = self.pids("worker")
        clients = self.clients_of(workers)
        self.end(self.group())
        self.wait(lambda: all(map(gone, workers)), "the end of the workers")
        self.start()
        return clients

    @staticmethod
    def wait_drained(ended):
        """Both wait for the last WebSocket without a bound; the drill does not."""
        deadline = time.monotonic() + DRAIN_S
        while not ended() and time.monotonic() < deadline:
            time.sleep(0.1)

    def end(self, group):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self.process.wait(10)

    def close(self):
        self.end(self.group())


class Nginx(Other):
    """Its workers are processes of a master, which ignores USR2 unless it is a daemon. An upgrade is USR2,
    and QUIT to the old master once the new one runs. All are in one process group."""

    name = binary_name = "nginx"
    first = 0

    def start(self):
        super().start()
        self.first = self.master()
        return self

    def group(self):
        return self.first

    def is_up(self):
        if self.process.poll():
            raise RuntimeError(f"nginx did not start: {self.output()}")
        return self.answers()

    def configure(self):
        now, pair = self.settings, self.settings.pair
        ports = (self.port, *now.extra)
        listen = " ".join(f"listen 127.0.0.1:{port} ssl http2;" for port in ports)
        first = " ".join(f"listen 127.0.0.1:{port} ssl http2 backlog=4096 reuseport;" for port in ports)
        proxy = ('proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_read_timeout 300s; '
                 'proxy_request_buffering off; proxy_buffering off;')
        more = "".join(f"server {{ {listen} server_name more-{n}.{DOMAIN}; return 204; }}\n" for n in range(now.routes))
        app, echo = self.names()
        (self.directory / "nginx.conf").write_text(f"""\
daemon on; worker_processes {now.workers}; pid {self.directory}/pid; error_log {self.directory}/error.log; user root;
{'no_such_directive on;' if now.broken else ''}
events {{ worker_connections 8192; }}
http {{
  access_log {self.directory}/access-{now.log}.log combined;
  ssl_certificate {self.keys.chain(pair)}; ssl_certificate_key {self.keys.key(pair)};
  keepalive_timeout {now.keep_alive}s; keepalive_requests 1000000000; client_max_body_size 0;
  large_client_header_buffers 4 {now.fields}k;
  client_body_temp_path {self.directory}/body; proxy_temp_path {self.directory}/proxy;
  upstream app {{ server 127.0.0.1:{self.apps[0]}; keepalive 64; }}
  upstream echo {{ server 127.0.0.1:{self.apps[1]}; }}
  server {{ {first} server_name {app};
    location / {{ proxy_pass http://app; {proxy} proxy_set_header Connection ""; }} }}
  server {{ {listen} server_name {echo};
    location / {{ proxy_pass http://echo; {proxy}
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }}
{more}}}
""")
        return [self.binary, "-p", self.directory, "-c", self.directory / "nginx.conf", "-e", self.directory / "error.log"]

    def master(self):
        return int((self.directory / "pid").read_text())

    def workers(self):
        return [pid for pid, title in sorted(children(self.master()).items()) if "worker process" in title and
                "shutting down" not in title]

    def reload(self):
        before, master = self.pids("worker"), self.master()
        os.kill(master, signal.SIGHUP)
        if self.settings.broken:
            time.sleep(0.3)  # it logs the refusal, and nothing else happens
            return
        self.wait(lambda: len(self.pids("worker")) == self.settings.workers and not set(before) & set(self.pids("worker")),
                  "new workers")

    def recover(self, role, pid):
        self.wait(lambda: len(self.pids(role)) == self.settings.workers, "the next worker")

    def upgrade(self, kind):
        if kind == "late":
            raise Skip
        old = self.master()
        if old != self.first and not gone(self.first):
            raise Skip  # it ignores USR2 while the previous master has WebSockets
        self.replace_binary({"same": self.good, "other": self.good, "failing": FAILING, "hanging": HANGING}[kind])
        os.kill(old, signal.SIGUSR2)
        if kind == "failing":
            time.sleep(0.5)
        elif kind == "hanging":
            time.sleep(HUNG_S)
            for pid, title in children(old).items():
                if title.startswith("sleep "):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
        else:
            self.wait(lambda: (self.directory / "pid").exists() and self.master() != old and
                      len(self.pids("worker")) == self.settings.workers, "the new master")
            os.kill(old, signal.SIGQUIT)

    def drain(self):
        master = self.master()
        os.kill(master, signal.SIGQUIT)
        self.wait_drained(lambda: gone(master))


class Haproxy(Other):
    """A master and a worker with threads. Its reload starts the program file anew, after a check of the file."""

    name = binary_name = "haproxy"

    def configure(self):
        now = self.settings
        binds = "\n".join(f"  bind 127.0.0.1:{port} ssl crt {self.keys.both(now.pair)} alpn h2,http/1.1 backlog 4096"
                          for port in (self.port, *now.extra))
        routes = "".join(f"  use_backend app if {{ req.hdr(host) -i more-{n}.{DOMAIN} }}\n" for n in range(now.routes))
        (self.directory / "haproxy.cfg").write_text(f"""\
global
  nbthread {now.workers}
  maxconn 8000
  tune.http.maxhdr {now.fields}
  log stdout format raw local{now.log}
{'  no such keyword' if now.broken else ''}
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout tunnel 1h
  timeout http-keep-alive {now.keep_alive}s
frontend f
{binds}
  use_backend echo if {{ req.hdr(host),field(1,:) -i {self.names()[1]} }}
{routes}  default_backend app
backend app
  server s 127.0.0.1:{self.apps[0]}
backend echo
  server s 127.0.0.1:{self.apps[1]}
""")
        return [self.binary, "-W", "-f", self.directory / "haproxy.cfg"]

    def master(self):
        return self.process.pid

    group = master

    def workers(self):
        """The newest process of the master is the worker."""
        return sorted(children(self.process.pid))[-1:]

    def checked(self):
        """The package's unit reloads only after a check by the program file."""
        try:
            return subprocess.run([self.binary, "-c", "-q", "-f", self.directory / "haproxy.cfg"], capture_output=True,
                                  timeout=CHECK_S, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def reload(self):
        if not self.checked():
            return
        before = self.pids("worker")
        os.kill(self.process.pid, signal.SIGUSR2)
        self.wait(lambda: self.pids("worker") and self.pids("worker") != before, "a new worker")

    def recover(self, role, pid):
        """The master ends with its worker, and systemd starts both anew."""
        if not gone(self.process.pid):
            self.process.wait(10)
        self.start()

    def upgrade(self, kind):
        if kind == "late":
            raise Skip
        self.replace_binary({"same": self.good, "other": self.good, "failing": FAILING, "hanging": HANGING}[kind])
        self.reload()

    def drain(self):
        os.kill(self.process.pid, signal.SIGUSR1)
        self.wait_drained(lambda: self.process.poll() is not None)
