"""An ACME authority on loopback: pebble, with a separate name server for DNS-01 (pebble-challtestsrv)."""
import json
import os
import shutil
import socket
import subprocess
import time

import pytest

import harness

# Writes the TXT record of a challenge, like the hook of a real name server. lego calls it with "present" or
# "cleanup", the name and the value; certbot with both in its environment.
HOOK = """#!/usr/bin/python3
import json, os, sys, urllib.request
action = sys.argv[1]
name = sys.argv[2] if len(sys.argv) > 2 else f"_acme-challenge.{{os.environ['CERTBOT_DOMAIN']}}."
value = sys.argv[3] if len(sys.argv) > 3 else os.environ["CERTBOT_VALIDATION"]
body = {{"host": name, "value": value}} if action == "present" else {{"host": name}}
path = "set-txt" if action == "present" else "clear-txt"
urllib.request.urlopen("http://127.0.0.1:{management}/" + path, json.dumps(body).encode()).read()
"""


class Authority:
    """Starts both programs in `directory`; `url` is the directory of ACME, `ca` the trust anchor of its HTTPS."""

    def __init__(self, directory):
        for program in ("pebble", "pebble-challtestsrv", "lego", "certbot"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed (deploy/packages install test)")
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.ca, key = directory / "pebble.pem", directory / "pebble.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.ca],
                       check=True, capture_output=True)
        acme, management, dns, dns_management = (harness.PORTS.take() for _ in range(4))
        self.url = f"https://127.0.0.1:{acme}/dir"
        self.dns = f"127.0.0.1:{dns}"
        self.hook = directory / "dns-hook"
        self.hook.write_text(HOOK.format(management=dns_management))
        self.hook.chmod(0o755)
        config = directory / "pebble.json"
        config.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{acme}", "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(self.ca), "privateKey": str(key), "httpPort": 1, "tlsPort": 1}}))
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        self.processes = [
            self._start("dns", ["pebble-challtestsrv", "-dns01", self.dns, "-management", f"127.0.0.1:{dns_management}",
                                "-http01", "", "-https01", "", "-tlsalpn01", ""], env),
            self._start("pebble", ["pebble", "-config", str(config), "-dnsserver", self.dns], env)]
        for port in (acme, dns_management):
            self._wait_for(port)

    def _start(self, name, command, env):
        with open(self.directory / f"{name}.log", "wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=env)

    def _wait_for(self, port):
        ends = time.monotonic() + harness.PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < ends and all(p.poll() is None for p in self.processes), self.directory
                time.sleep(0.02)

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, *command, **env):
        """A client of the authority; returns its output."""
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, check=False,
                              env={**os.environ, "LEGO_CA_CERTIFICATES": str(self.ca), "REQUESTS_CA_BUNDLE": str(self.ca),
                                   "EXEC_PATH": str(self.hook), **env})
        assert done.returncode == 0, done.stdout + done.stderr + (self.directory / "pebble.log").read_text()[-3000:]
        return done.stdout + done.stderr
