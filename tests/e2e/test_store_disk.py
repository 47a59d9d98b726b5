"""A full or read-only disk of the store: the messages name it, and everything else goes on."""

import contextlib
import subprocess

import pytest

from harness import DOMAIN, Edge, HttpOrigin


@pytest.fixture(name="disk")
def _disk(tmp_path):
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture(name="edge")
def _edge(tmp_path, disk):
    with Edge(tmp_path, workers=1, start=False) as edge:
        edge.state_dir = disk / "state"
        edge.config["state_dir"] = str(edge.state_dir)
        edge.start()
        yield edge


def test_a_full_disk(edge, disk):
    with HttpOrigin() as app:
        host = edge.create_preview(app)
        with open(disk / "big", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        made, done = 0, None
        while done is None or done.returncode == 0:  # the file may have free pages
            assert made < 500
            done = edge.command("preview", "create", "box", 10000 + made, "--public", check=False)
            made += 1
        assert done.returncode == 1 and "Nothing was changed: the disk is full." in done.stderr, done.stderr
        assert "map_size" not in done.stderr
        assert edge.get(host, "/echo").status == 200
        (disk / "big").unlink()
        edge.command("preview", "create", "box", 20000, "--public")
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
