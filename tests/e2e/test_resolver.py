"""The resolver is gone: the last addresses stay in use, one log line for each name reports it, and the
resolver returns."""

import os
import signal
import socket
import struct
import subprocess
import threading

import pytest

from api_world import api_config, call
from disks import figure
from harness import PATIENCE, SLOW, Edge, RawOrigin

LONG = PATIENCE * SLOW
RESOLVER = "127.0.0.77"  # port 53, as resolv.conf has no other
NAME = "servers.test"


class Dns:
    """Answers A questions with 127.0.0.1 and a TTL of a second; without an answer while it is `gone`."""

    def __init__(self):
        self.gone = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((RESOLVER, 53))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            packet, peer = self.socket.recvfrom(4096)
            if not packet:
                return
            if self.gone:
                continue
            end = 12
            while packet[end]:
                end += packet[end] + 1
            question = packet[12:end + 5]
            has = question[-3] == 1  # A
            record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + bytes([127, 0, 0, 1])
            self.socket.sendto(packet[:2] + struct.pack(">HHHHH", 0x8180, 1, has, 0, 0) + question + record * has, peer)

    def close(self):
        self.socket.sendto(b"", (RESOLVER, 53))
        self.thread.join(LONG)
        self.socket.close()


@pytest.fixture(name="dns")
def _dns(tmp_path):
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        pytest.skip("needs root and a mount namespace, for a resolv.conf of its own")
    (tmp_path / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
    try:
        dns = Dns()
    except OSError as error:
        pytest.skip(f"another test has {RESOLVER}: {error}")
    yield dns
    dns.close()


def lines(edge, text):
    return [line for line in edge.stderr.lines if text in line]


def test_a_resolver_that_is_gone(tmp_path, dns):
    with RawOrigin() as server:
        edge = Edge(tmp_path / "edge", start=False, config=api_config([], upstream={"servers": [f"{NAME}:{server.port}"]}))
        edge.launcher = ["unshare", "-m", "sh", "-c", f'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec "$@"', "sh"]
        with edge:
            edge.start()
            edge.wait_until(lambda: call(edge).status == 200, LONG, "an address")
            assert figure(edge, "boxedge_resolver_names") == 1
            assert figure(edge, "boxedge_resolver_names_failing") == 0
            assert figure(edge, "boxedge_resolver_oldest_answer_seconds") == 0
            dns.gone = True
            sentence = f"the name {NAME} cannot be resolved: "
            line = edge.stderr.wait_for(lambda line: sentence in line, 3 * LONG)
            assert "its previous addresses stay in use" in line and "/etc/resolv.conf" in line
            failures = figure(edge, "boxedge_resolver_failures_total")
            assert failures >= 1 and figure(edge, "boxedge_resolver_names_failing") == 1
            assert figure(edge, "boxedge_resolver_oldest_answer_seconds") > 0
            edge.wait_until(lambda: figure(edge, "boxedge_resolver_failures_total") > failures, 3 * LONG, "a further failure")
            assert call(edge).status == 200
            assert len(lines(edge, sentence)) == 1  # not for each attempt

            # Nor does a new controller lose them: they are in shared memory.
            edge.expect_deaths = True
            start = len(edge.stderr.lines)
            os.kill(edge.pids("controller")[0], signal.SIGKILL)
            edge.stderr.wait_for(lambda line: "controller is back" in line, LONG, start)
            edge.stderr.wait_for(lambda line: sentence in line, 3 * LONG, start)
            assert call(edge).status == 200
            edge.command("reload")
            assert call(edge).status == 200

            dns.gone = False
            edge.stderr.wait_for(lambda line: f"the name {NAME} can be resolved again" in line, 3 * LONG)
            assert figure(edge, "boxedge_resolver_names_failing") == 0
            assert call(edge).status == 200
