"""A full or read-only disk of the store: one message names it, and everything else continues."""

import errno
import os
import subprocess

import pytest

from disks import LONG, FaultyEdge, failing_disk, figure, fill, small_disk
from harness import DOMAIN, Edge, HttpOrigin

DURABLE = '{store="durable"}'
KEYS = {"plans": [{"name": "free", "rate": "0"}]}


@pytest.fixture(name="disk")
def _disk(tmp_path):
    with small_disk(tmp_path / "disk", "4m") as place:
        yield place


@pytest.fixture(name="edge")
def _edge(tmp_path, disk):
    with Edge(tmp_path, workers=1, start=False) as edge:
        edge.state_dir = disk / "state"
        edge.config["state_dir"] = str(edge.state_dir)
        edge.start()
        yield edge


def refusals(edge):
    return [line for line in edge.stderr.lines if "takes no change" in line]


def until_it_takes_changes(edge):
    """Makes changes until the edge reports that it accepts them: some seconds after the last refusal."""
    def said():
        edge.command("preview", "create", "box", 20000, "--public")
        return any("takes changes again" in line for line in edge.stderr.lines)
    edge.wait_until(said, LONG, "a line")


def test_a_full_disk(edge, disk):
    with HttpOrigin() as app:
        host = edge.create_preview(app)
        big = fill(disk)
        made, done = 0, None
        while done is None or done.returncode == 0:  # the file may have free pages
            assert made < 500
            done = edge.command("preview", "create", "box", 10000 + made, "--public", check=False)
            made += 1
        assert done.returncode == 1 and "Nothing was changed: the disk is full." in done.stderr, done.stderr
        assert "map_size" not in done.stderr
        for port in range(4):
            edge.command("preview", "create", "box", 30000 + port, "--public", check=False)
        assert figure(edge, "boxedge_store_writable" + DURABLE) == 0
        assert figure(edge, "boxedge_store_failed_changes_total" + DURABLE) >= 5
        (line,) = refusals(edge)
        assert f"{edge.state_dir}/store takes no change: the disk is full" in line
        assert edge.get(host, "/echo").status == 200
        big.unlink()
        until_it_takes_changes(edge)
        assert figure(edge, "boxedge_store_writable" + DURABLE) == 1
        assert edge.get(f"box-{app.port}.{DOMAIN}", "/echo").status == 200


def test_a_read_only_disk(edge, disk):
    edge.stop()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for command in ("run", "check"):
        done = edge.command(command, check=False)
        assert done.returncode == 1 and "Read-only file system" in done.stderr, done.stderr
        assert "damaged" not in done.stderr
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    edge.start()


def fails_as_read_only(edge, host):
    """The answer to each change names it, one message covers all; requests and restarted workers are not
    concerned."""
    for change in (("preview", "create", "box", 4000, "--public"), ("preview", "update", "box", host.split("-")[1].split(".")[0],
                   "--label", "x"), ("preview", "delete", "box", 3999), ("block", "box", "other"),
                   ("key", "create", "ci", "--plan", "free")):
        done = edge.command(*change, check=False)
        assert done.returncode == 1 and "Read-only file system" in done.stderr, (change, done.stdout, done.stderr)
    (line,) = refusals(edge)
    assert "/store takes no change: Read-only file system" in line
    assert figure(edge, "boxedge_store_writable" + DURABLE) == 0
    assert edge.get(host, "/echo").status == 200
    edge.command("status", "--ready")
    edge.command("reload")
    assert edge.get(host, "/echo").status == 200


def test_a_disk_that_turns_read_only(tmp_path):
    """Like an ext4 after an error, which no remount undoes: a restart on a repaired disk does."""
    with HttpOrigin() as app, failing_disk(tmp_path) as (place, fail):
        with Edge(tmp_path / "edge", start=False, config=KEYS) as edge:
            edge.state_dir = place / "state"
            edge.config["state_dir"] = str(edge.state_dir)
            edge.start()
            edge.expect_deaths = True
            host = edge.create_preview(app)
            edge.create_preview(3999)
            fail()
            fails_as_read_only(edge, host)
            start = len(edge.stderr.lines)
            os.kill(edge.pids("worker")[0], 9)
            edge.stderr.wait_for(lambda line: "is back" in line, LONG, start)
            assert edge.get(host, "/echo").status == 200
            edge.command("status", "--ready")
            assert not any("damage" in line for line in edge.stderr.lines)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EIO])
def test_a_disk_that_comes_back(tmp_path, error):
    """Without a restart."""
    with HttpOrigin() as app, FaultyEdge(tmp_path / "edge", config=KEYS) as edge:
        host = edge.create_preview(app)
        edge.create_preview(3999)
        edge.refuse(error)
        if error == errno.EROFS:
            fails_as_read_only(edge, host)
        else:
            done = edge.command("preview", "create", "box", 4000, "--public", check=False)
            assert done.returncode == 1 and "Input/output error" in done.stderr
        edge.refuse(0)
        until_it_takes_changes(edge)
        assert figure(edge, "boxedge_store_writable" + DURABLE) == 1
        edge.command("block", "box", "other")
        edge.command("key", "create", "ci", "--plan", "free")
        edge.command("store", "check")
