"""A store with wrong bits: the edge refuses it, answers 503, reports it on /readyz, or its answers do not
change."""

import concurrent.futures
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness import BINARY, DOMAIN, Edge, HttpOrigin


@pytest.fixture(name="world")
def _world(tmp_path):
    with HttpOrigin() as app, Edge(tmp_path, workers=2, boxes=[{"id": i, "address": "127.0.0.1"} for i in ("one", "two")]) as edge:
        edge.create_preview(app, "one", "--label", "marked")
        edge.create_preview(app, "two")
        yield edge, app.port


def get(world, box):
    edge, port = world
    return edge.get(f"{box}-{port}.{DOMAIN}", "/echo")


def replace_in(file, before, after):
    pages = file.read_bytes()
    assert before in pages and len(before) == len(after)
    file.write_bytes(pages.replace(before, after))


def test_a_damaged_record(world):
    """Its preview gets 503 and one message, however many workers meet it; all others are served."""
    edge, port = world
    edge.stop()
    replace_in(edge.state_dir / "store/data.mdb", b"marked", b"merked")
    edge.start()
    for _ in range(20):
        refused = get(world, "one")
        assert refused.status == 503 and json.loads(refused.body)["code"] == "preview_damaged", refused
        assert get(world, "two").status == 200
    told = [line for line in edge.stderr.lines if "preview_damaged" in line]
    assert len(told) == 1 and "the record of one is damaged" in told[0], told
    # The message names a remedy.
    edge.command("preview", "create", "one", port, "--public")
    assert get(world, "one").status == 200


# ---- the check

STORES = [".", "rules", "keys", "deletions", "aliases", "links"]


def folder_of(edge, store):
    return edge.state_dir / "store" / store


def check(edge, *arguments):
    return edge.command("store", "check", *arguments, check=False)


def test_the_check_of_a_whole_store(world):
    """While the edge serves, while it does not, and of a copy; no file is made or changed."""
    edge, _ = world
    for running in (True, False):
        done = check(edge)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert f"The store in {edge.state_dir}/store is whole: 7 environments, " in done.stdout and "format 1.1" in done.stdout
        result = json.loads(check(edge, "--json").stdout)
        assert result["whole"] is True and result["findings"] == [] and result["environments"] == 7 and result["records"] > 3
        if running:
            edge.stop()
    copy = edge.directory / "copy"
    shutil.copytree(edge.state_dir / "store", copy, ignore=shutil.ignore_patterns("lock.mdb"))
    done = check(edge, copy)
    assert done.returncode == 0 and "6 environments" in done.stdout, done
    assert not list(copy.rglob("lock.mdb"))
    done = check(edge, edge.directory / "nowhere")
    assert done.returncode == 1 and "there is no store in" in done.stderr, done
    edge.start()


def test_the_check_while_the_store_changes(world):
    edge, port = world
    with concurrent.futures.ThreadPoolExecutor() as pool:
        changes = [pool.submit(edge.create_preview, 1000 + i, "two") for i in range(40)]
        while not all(change.done() for change in changes):
            done = check(edge)
            assert (done.returncode, done.stderr) == (0, ""), done
        for change in changes:
            change.result()


def test_a_check_that_is_killed_finds_no_damage(world):
    """Like the kernel when memory is short. The check waits meanwhile for the lock of a part's readers."""
    edge, _ = world
    edge.stop()
    copy = edge.directory / "copy"
    shutil.copytree(edge.state_dir / "store", copy)
    with open(copy / "lock.mdb", "r+b") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        command = subprocess.Popen([BINARY, "store", "check", copy], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        children = pathlib.Path(f"/proc/{command.pid}/task/{command.pid}/children")
        edge.wait_until(children.read_text, what="the child of the check")
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        said = command.communicate(timeout=30)[1]
    assert command.returncode == 1 and "did not end" in said, said
    assert "ended early: killed by signal 9" in said and "damaged" not in said and "crash" not in said, said


def damage_leaves(file):
    pages = bytearray(file.read_bytes())
    for at in range(8192, len(pages), 4096):  # those in use are leaves here
        if pages[at + 10] == 2:
            pages[at + 12] ^= 0x02
    file.write_bytes(pages)


@pytest.mark.parametrize("store", STORES)
def test_damaged_pages_are_refused(world, store):
    """By the check, by a start and by `boxedge check`: with the directory and the command."""
    edge, _ = world
    edge.stop()
    folder = folder_of(edge, store)
    damage_leaves(folder / "data.mdb")
    sentence = f"{str(folder).removesuffix('/.')}: data.mdb is damaged: page "
    done = check(edge)
    assert done.returncode == 1 and sentence in done.stderr and "has 1 fault\n" in done.stderr, done
    assert json.loads(check(edge, "--json").stdout)["findings"][0]["kind"] == "pages"
    for done in (edge.command("run", check=False), edge.command("check", check=False)):
        assert done.returncode == 1 and sentence in done.stderr and "`boxedge store check`" in done.stderr, done.stderr


@pytest.mark.parametrize("damage", ["leaves", "short", "noise", "empty"])
def test_damaged_states_of_boxes_are_made_anew(world, damage):
    """A run_dir on disk after a power cut: the providers report its contents again, so it prevents no
    start."""
    edge, _ = world
    edge.stop()
    file = edge.run_dir / "store/data.mdb"
    if damage == "leaves":
        damage_leaves(file)
    else:
        pages = file.read_bytes()
        file.write_bytes({"short": pages[:-4096], "noise": bytes(range(256)) * (len(pages) // 256), "empty": b""}[damage])
    done = edge.command("check", check=False)
    assert done.returncode == 0 and "a start makes them anew" in done.stderr, done.stderr
    assert check(edge).returncode == 1
    edge.start()
    assert any("the states of boxes are made anew" in line for line in edge.stderr.lines)
    assert get(world, "one").status == get(world, "two").status == 200
    assert check(edge).returncode == 0


def test_damaged_states_of_boxes_excuse_no_other_damage(world):
    edge, _ = world
    edge.stop()
    file = edge.run_dir / "store/data.mdb"
    file.write_bytes(b"")
    damage_leaves(edge.state_dir / "store/rules/data.mdb")
    assert edge.command("run", check=False).returncode == 1
    assert file.read_bytes() == b""


def test_a_damaged_record_is_listed(world):
    edge, _ = world
    edge.stop()
    replace_in(edge.state_dir / "store/data.mdb", b"marked", b"merked")
    done = check(edge)
    assert done.returncode == 1 and "the record of one-" in done.stderr and " is damaged\n" in done.stderr, done
    done = edge.command("check", check=False)
    assert done.returncode == 0 and "warning" in done.stderr and "the record of one-" in done.stderr, done
    edge.start()
    assert any("the store is damaged" in line and "the record of one-" in line for line in edge.stderr.lines)
    done = check(edge)
    assert done.returncode == 1 and " is damaged\n" in done.stderr, done


@pytest.mark.parametrize("record", ["name", "key"])
def test_a_damaged_key_can_be_revoked(tmp_path, record):
    """By its name, whichever of its two records is damaged."""
    before, after = {"name": (b"\x02ci\x01", b"\x02ci\x00"), "key": (b"cifree", b"cifref")}[record]
    with Edge(tmp_path, workers=1, config={"plans": [{"name": "free", "rate": "1/s"}]}) as edge:
        edge.command("key", "create", "ci", "--plan", "free")
        edge.stop()
        replace_in(edge.state_dir / "store/keys/data.mdb", before, after)
        edge.start()
        assert ("ci" in edge.command("key", "list")) == (record == "name")
        edge.command("key", "revoke", "ci")
        assert "revoked" in edge.command("key", "list")
        assert check(edge).returncode == 0
        edge.command("key", "forget", "ci")
        assert "ci" not in edge.command("key", "list")


def test_damaged_cookie_keys_are_replaced(world):
    """They are no block: all is served, blocks stay in force, and one message reports it."""
    edge, _ = world
    edge.command("block", "box", "two")
    edge.stop()
    replace_in(edge.state_dir / "store/rules/data.mdb", b"@cookie-keys\x01", b"@cookie-keys\x00")
    edge.start()
    assert get(world, "one").status == 200
    assert get(world, "two").status == 403
    edge.said("keys of session cookies were damaged")
    assert check(edge).returncode == 0


@pytest.mark.parametrize("rest", [None, b"", bytes(8192)], ids=["directories", "empty", "zeros"])
def test_a_first_start_that_was_interrupted_goes_on(tmp_path, rest):
    """Until an edge was ready nothing is lost; afterwards the same is damage."""
    with Edge(tmp_path, workers=1, start=False) as edge:
        for part in (".", "keys"):
            folder = folder_of(edge, part)
            folder.mkdir(parents=True, mode=0o700)
            if rest is not None:
                (folder / "data.mdb").write_bytes(rest)
        edge.start()
        assert check(edge).returncode == 0
        edge.stop()
        data = folder / "data.mdb"
        if rest is None:
            data.unlink()
        else:
            data.write_bytes(rest)
        for done in (edge.command("run", check=False), edge.command("check", check=False)):
            assert done.returncode == 1 and f"{folder}: data.mdb is " in done.stderr, done.stderr


@pytest.mark.parametrize("damage", ["zeros", "short"])
def test_damage_while_the_edge_serves(world, damage):
    """A read that meets it gets 503, and does not end the worker; the node is unready, and one message
    reports it."""
    edge, _ = world
    file = edge.state_dir / "store/data.mdb"
    with open(file, "r+b") as pages:
        if damage == "short":
            pages.truncate(8192)
        else:
            size = pages.seek(0, os.SEEK_END)
            pages.seek(8192)
            pages.write(bytes(size - 8192))
    for _ in range(20):
        for box in ("one", "two"):
            refused = get(world, box)
            assert refused.status == 503 and json.loads(refused.body)["code"] == "store_unavailable", refused
    edge.stderr.wait_for(lambda line: "the store is damaged: requests that need a damaged page get 503" in line)
    for _ in range(20):
        with edge.connect("health") as client:
            assert client.request(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status == 503
    assert json.loads(edge.command("status", "--json"))["store"] is None
    edge.said("the store is damaged")
