"""Loads: each runs against one proxy for some seconds and returns the number of requests and their latencies. All run
on the load's core, beside the origin."""

import re
import signal
import ssl
import socket
import statistics
import subprocess
import threading
import time

from proxies import LOAD_CORE

UNITS = {"us": 1.0, "ms": 1000.0, "s": 1e6, "m": 60e6}


class LoadError(Exception):
    """The load failed: the sample does not count."""


def run(command, seconds):
    done = subprocess.run(
        ["taskset", "-c", LOAD_CORE, *map(str, command)], capture_output=True, text=True, timeout=seconds * 4 + 60,
        check=False)
    if done.returncode != 0:
        raise LoadError(f"{command[0]}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def microseconds(text):
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if not match:
        raise LoadError(f"no duration: {text}")
    return float(match[1]) * UNITS[match[2]]


def wrk_percentile(out, percent):
    """Reads a line of latency, which ends in spaces if the unit is short. Lines of deviations have more columns."""
    found = re.search(rf"^ +{percent}% +(\S+) *$", out, re.M)
    if not found:
        raise LoadError(out[-600:])
    return microseconds(found[1])


def wrk(bench, proxy, tls, seconds, path="/", connections=64, script=None, host=None, token=None,
        fields=()):
    """HTTP/1.1 over kept connections."""
    url = f"{'https' if tls else 'http'}://127.0.0.1:{proxy.tls if tls else proxy.plain}{path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "20s",
               "-H", f"Host: {host or bench.host}"]
    for field in fields:
        command += ["-H", field]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    if script:
        command += ["-s", script]
    out = run(command + [url], seconds)
    if bad := re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", out):
        if bad[1] or re.search(r"(connect|read|write|timeout) [1-9]", bad[2]):
            raise LoadError(bad[0])
    if " requests in " not in out or "nan" in out:
        raise LoadError(out[-600:])
    requests, took = re.search(r"(\d+) requests in ([\d.]+\w+),", out).groups()
    return {
        "requests": int(requests),
        "seconds": microseconds(took) / 1e6,
        "p50_us": wrk_percentile(out, 50),
        "p99_us": wrk_percentile(out, 99),
    }


class CountedCalls:
    """Counts a proxy's system calls while the block runs: `total` and `by_name` after it."""

    def __init__(self, bench, proxy):
        self.out = bench.dir / "strace"
        self.pids = proxy.pids()

    def __enter__(self):
        command = ["strace", "-f", "-c", "-o", self.out, *(word for pid in self.pids for word in ("-p", pid))]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True)
        waiting = set(self.pids)
        for line in self.process.stderr:
            if attached := re.search(r"Process (\d+) attached", line):
                waiting.discard(attached[1])
            if not waiting:
                return self
        raise LoadError("strace could not attach")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        rows = [line.split() for line in self.out.read_text().splitlines()]
        counts = [row for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"]
        self.by_name = {row[-1]: int(row[3]) for row in counts}
        self.total = sum(self.by_name.values())


def h2load(bench, proxy, seconds, path="/", connections=32, streams=10, body=None, host=None):
    """HTTP/2 over TLS."""
    log = bench.dir / "h2load.log"
    log.unlink(missing_ok=True)
    command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", f"--log-file={log}",
               f"--connect-to=127.0.0.1:{proxy.tls}"]
    if body:
        command += ["-d", body]
    out = run(command + [f"https://{host or bench.host}{path}"], seconds)
    counts = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored", out)
    done = int(counts[2])
    took = re.search(r"finished in ([\d.]+\w+),", out)
    statuses = re.search(r"status codes: (\d+) 2xx", out)
    # h2load counts the requests in flight at the end as failed; they are at most as many as streams.
    if int(statuses[1]) < done or int(counts[3]) > connections * streams:
        raise LoadError(out[-800:])
    durations = sorted(int(line.split()[2]) for line in log.read_text().splitlines() if line.count("\t") == 2)
    log.unlink()
    if not durations:
        raise LoadError("h2load wrote no durations")
    return {
        "requests": done,
        "seconds": microseconds(took[1]) / 1e6,
        "p50_us": float(statistics.median(durations)),
        "p99_us": float(durations[min(len(durations) - 1, len(durations) * 99 // 100)]),
    }


def handshakes(bench, proxy, seconds, threads=4):
    """A full TLS handshake and one request on each connection, which then closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = f"GET / HTTP/1.1\r\nHost: {bench.host}\r\nConnection: close\r\n\r\n".encode()
    counts, errors = [0] * threads, []
    begin = time.monotonic()

    def work(i):
        try:
            while time.monotonic() < begin + seconds:
                with socket.create_connection(("127.0.0.1", proxy.tls), timeout=10) as sock:
                    with context.wrap_socket(sock, server_hostname=bench.host) as tls:
                        if tls.session_reused:
                            raise LoadError("a session was resumed")
                        tls.sendall(request)
                        data = b""
                        while piece := tls.recv(4096):
                            data += piece
                        if not data.startswith(b"HTTP/1.1 200"):
                            raise LoadError(f"not 200: {data[:200]!r}")
                counts[i] += 1
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise LoadError(repr(errors[0]))
    return {"requests": sum(counts), "seconds": time.monotonic() - begin}
