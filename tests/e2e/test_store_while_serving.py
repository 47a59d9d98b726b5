"""Damage of the store while the edge serves: found, said once, never answered as an absence, and never a series of deaths."""

import json
import os
import signal
import time

import pytest

from disks import figure
from harness import DOMAIN, SLOW, Edge, HttpOrigin

PREVIEWS = 60
KEYS = {"plans": [{"name": "free", "rate": "0"}]}


def make(tmp_path):
    return Edge(tmp_path, workers=1, config=KEYS)


@pytest.fixture(name="app")
def _app():
    with HttpOrigin() as app:
        yield app


@pytest.fixture(name="edge")
def _edge(tmp_path, app):
    with make(tmp_path) as edge:
        edge.create_preview(app)
        for i in range(PREVIEWS):
            edge.create_preview(20000 + i)
        yield edge


def flip_leaves(file, bit, every=1):
    """One bit of the number of records of each leaf, or of some."""
    with open(file, "r+b") as pages:
        data, leaves = bytearray(pages.read()), 0
        for at in range(8192, len(data), 4096):
            if data[at + 10] != 2:
                continue
            leaves += 1
            if leaves % every == 0:
                pages.seek(at + 12)
                pages.write(bytes([data[at + 12] ^ bit]))


def zero_metas(file):
    with open(file, "r+b") as pages:
        pages.write(bytes(8192))


def ask(edge, ports):
    """The codes of all previews that are not served: 502 is that of a port where nothing listens."""
    counts = {}
    for port in ports:
        answer = edge.get(f"box-{port}.{DOMAIN}")
        code = json.loads(answer.body)["code"] if answer.status in (404, 503) else answer.status
        counts[code] = counts.get(code, 0) + 1
    return counts


def readyz(edge):
    with edge.connect("health") as client:
        return client.request(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status


def is_unready(edge):
    """By /readyz and by the command; and it takes no time."""
    start = time.monotonic()
    done = edge.command("status", "--ready", check=False)
    assert time.monotonic() - start < 10 * SLOW
    return done.returncode == 1 and "the store is damaged" in done.stderr and readyz(edge) == 503


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("bit", [0x02, 0x04, 0x08, 0x20, 0x80])
def test_wrong_numbers_of_records(edge, app, bit, every):
    """A preview that cannot be found is not said to be none; a list that may be short is none."""
    file = edge.state_dir / "store/data.mdb"
    flip_leaves(file, bit, every)
    ports = [20000 + i for i in range(PREVIEWS)]
    first = ask(edge, ports)
    assert "preview_not_found" not in first, first
    edge.wait_until(lambda: is_unready(edge), what="an unready edge")
    edge.said("the store is damaged")
    again = ask(edge, [*ports, 30000])
    assert "preview_not_found" not in again and again["store_unavailable"] >= 1, again
    for command in (("preview", "list"), ("preview", "list", "--json")):
        done = edge.command(*command, check=False)
        assert done.returncode == 1 and "damaged" in done.stderr and "No previews" not in done.stdout, done
    assert edge.command("store", "check", check=False).returncode == 1


@pytest.mark.parametrize("part", ["rules", "keys", "deletions", "aliases", "links"])
def test_damage_that_no_request_meets(tmp_path, app, part):
    """The check after a crash finds it. Requests that need that part fail closed, others are served."""
    with make(tmp_path) as edge:
        edge.expect_deaths = True
        host = edge.create_preview(app)
        edge.command("block", "box", "other")
        edge.command("key", "create", "ci", "--plan", "free")
        assert edge.get(host, "/echo").status == 200
        flip_leaves(edge.state_dir / "store" / part / "data.mdb", 0x02)
        (worker,) = edge.pids("worker")
        os.kill(worker, signal.SIGABRT)
        edge.wait_until(lambda: edge.pids("worker") not in ([], [worker]) and is_unready(edge), what="an unready edge")
        edge.wait_until(lambda: figure(edge, "boxedge_store_damaged") == 1, what="the metric")
        (line,) = edge.said("the store is damaged")
        assert f"store/{part}: data.mdb is damaged" in line and "`boxedge store restore DIR`" in line
        # Nobody knows whom the new worker must refuse, or whether the box is being deleted.
        assert edge.get(host, "/echo").status == (503 if part in ("rules", "deletions") else 200)
        if part == "rules":
            assert edge.command("block", "box", "third", check=False).returncode == 1
            assert edge.command("block", "list", check=False).returncode == 1
        if part == "keys":
            assert edge.command("key", "list", check=False).returncode == 1
            edge.command("block", "box", "third")


@pytest.mark.parametrize("damage", ["metas", "leaves", "zeros"])
def test_changes_after_damage(edge, app, damage):
    """At most one death of the controller, one message, prompt answers, and refusals with the remedy."""
    edge.expect_deaths = True
    file = edge.state_dir / "store/data.mdb"
    controller = edge.pids("controller")
    if damage == "metas":
        zero_metas(file)
    elif damage == "leaves":
        flip_leaves(file, 0x04)
    else:
        with open(file, "r+b") as pages:
            pages.seek(8192)
            pages.write(bytes(os.path.getsize(file) - 8192))
    edge.command("preview", "create", "box", 31000, "--public", check=False)
    edge.wait_until(lambda: edge.pids("controller") and is_unready(edge), what="an unready edge")
    second = edge.pids("controller")
    for i in range(5):
        done = edge.command("preview", "create", "box", 31001 + i, "--public", check=False)
        assert done.returncode == 1 and "`boxedge store restore DIR`" in done.stderr, done
        done = edge.command("preview", "delete", "box", 20000 + i, check=False)
        assert done.returncode == 1, done
    edge.command("block", "box", "other")  # another part: whole
    edge.command("reload")
    start = time.monotonic()
    assert json.loads(edge.command("status", "--json"))["store"] is None
    assert figure(edge, "boxedge_store_damaged") == 1
    assert time.monotonic() - start < 10 * SLOW
    assert edge.pids("controller") == second
    deaths = [line for line in edge.stderr.lines if "controller (process" in line and "died" in line]
    assert len(deaths) == (second != controller) <= 1, deaths
    edge.said("the store is damaged")
    assert "preview_not_found" not in ask(edge, [20000 + i for i in range(PREVIEWS)])
    edge.stderr.lines[:] = [line for line in edge.stderr.lines if not line.startswith("mdb.c:")]  # LMDB, as it ends



def test_ready_needs_a_worker_that_lives(tmp_path):
    with Edge(tmp_path, workers=1, config={"timeouts": {"heartbeat": "60s"}}) as edge:
        edge.command("status", "--ready")
        (worker,) = edge.pids("worker")
        os.kill(worker, signal.SIGSTOP)
        try:
            edge.wait_until(lambda: edge.command("status", "--ready", check=False).returncode == 1, what="an unready edge")
            assert "no worker" in edge.command("status", "--ready", check=False).stderr
        finally:
            os.kill(worker, signal.SIGCONT)
        edge.wait_until(lambda: edge.command("status", "--ready", check=False).returncode == 0, what="a ready edge")
