"""`boxedge store backup` and `restore`: one moment of the whole store, and never half a store."""

import concurrent.futures
import json
import re
import shutil
import subprocess

import pytest

from harness import BINARY, Edge


@pytest.fixture(name="edge")
def _edge(tmp_path):
    with Edge(tmp_path, workers=2, boxes=[{"id": i, "address": "127.0.0.1"} for i in ("one", "two")]) as edge:
        edge.create_preview(80, "one", "--label", "first", "--alias", "name")
        edge.command("block", "box", "two")
        yield edge


def store(edge, *arguments, check=True):
    return edge.command("store", *arguments, check=check)


def previews(edge):
    return {(p["box"], p["port"]): p for p in json.loads(edge.command("preview", "list", "--json"))["previews"]}


def blocks(edge):
    return json.loads(edge.command("block", "list", "--json"))


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_backup_comes_back(edge, running):
    backup, before, blocked = edge.directory / "backup", previews(edge), blocks(edge)
    if not running:
        edge.stop()
    assert f"The backup in {backup} is whole: " in store(edge, "backup", backup)
    assert sorted(p.name for p in backup.iterdir()) == ["aliases", "data.mdb", "deletions", "keys", "links", "rules"]
    assert not list(backup.rglob("lock.mdb")) and not (edge.directory / "backup.unfinished").exists()
    assert "is whole: 6 environments" in store(edge, "check", backup)
    if not running:
        edge.start()
    edge.create_preview(81, "one")
    edge.command("preview", "delete", "one", 80)
    edge.command("unblock", "box", "two")
    edge.stop()
    said = store(edge, "restore", backup)
    kept = next(edge.state_dir.glob("store.before-*"))
    assert f"The former store is in {kept}." in said
    edge.start()
    assert previews(edge) == before and blocks(edge) == blocked
    # The backup and the former store are stores, too.
    for copy in (backup, kept):
        assert "is whole" in store(edge, "check", copy)
    edge.stop()
    shutil.rmtree(backup)
    shutil.move(kept, backup)
    store(edge, "restore", backup)
    edge.start()
    assert list(previews(edge)) == [("one", 81)]


def test_a_backup_from_before_links_comes_back(edge):
    """It gets an empty part: the note of the store lists it."""
    backup, before = edge.directory / "backup", previews(edge)
    edge.command("preview", "create", "one", 82, "--bearer")
    edge.command("preview", "link", "create", "one", 82)
    store(edge, "backup", backup)
    shutil.rmtree(backup / "links")
    edge.stop()
    store(edge, "restore", backup)
    edge.start()
    assert previews(edge).keys() == before.keys() | {("one", 82)}
    assert json.loads(edge.command("preview", "link", "list", "one", "--json")) == {"links": []}
    edge.command("preview", "link", "create", "one", 82)
    assert "is whole" in store(edge, "check")


def test_a_backup_is_one_moment(edge):
    """An alias is recorded before the preview that carries it, and in another part of the store."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        changes = [pool.submit(edge.create_preview, 1000 + i, "one", "--alias", "name") for i in range(30)]
        for i in range(5):
            store(edge, "backup", edge.directory / f"backup{i}")
        for change in changes:
            change.result()
    edge.stop()
    seen = 0
    for i in range(5):
        store(edge, "restore", edge.directory / f"backup{i}")
        edge.start()
        now = len(previews(edge))
        assert now >= max(seen, 1)
        seen = now
        edge.stop()
        for kept in edge.state_dir.glob("store.before-*"):
            shutil.rmtree(kept)


def test_what_is_refused(edge):
    backup, state = edge.directory / "backup", edge.state_dir / "store"
    store(edge, "backup", backup)
    done = store(edge, "backup", backup, check=False)
    assert done.returncode == 1 and f"{backup} exists: a backup needs a new directory" in done.stderr
    done = store(edge, "backup", edge.directory / "nowhere/backup", check=False)
    assert done.returncode == 1 and "cannot be made: No such file or directory" in done.stderr
    done = store(edge, "restore", backup, check=False)
    assert done.returncode == 1 and f"process {edge.process.pid}" in done.stderr and "while no edge runs" in done.stderr
    edge.stop()
    before = {p.relative_to(state): p.read_bytes() for p in state.rglob("data.mdb")}
    done = store(edge, "restore", edge.directory / "nowhere", check=False)
    assert done.returncode == 1 and "has 0 of the 6 parts of a store" in done.stderr
    pages = (backup / "data.mdb").read_bytes()
    for damaged in (pages[:-4096], pages.replace(b"first", b"worst"), pages[:8192] + bytes(len(pages) - 8192)):
        (backup / "data.mdb").write_bytes(damaged)
        done = store(edge, "restore", backup, check=False)
        assert done.returncode == 1 and "is no whole backup: the store is as it was" in done.stderr, done
    (backup / "data.mdb").write_bytes(pages)
    shutil.rmtree(backup / "keys")
    done = store(edge, "restore", backup, check=False)
    assert done.returncode == 1 and "has 5 of the 6 parts of a store" in done.stderr
    # A damaged store gives no backup.
    (state / "data.mdb").write_bytes(pages[:8192] + bytes(len(pages) - 8192))
    done = store(edge, "backup", edge.directory / "other", check=False)
    assert done.returncode == 1 and "nothing was kept" in done.stderr
    assert not (edge.directory / "other").exists() and not (edge.directory / "other.unfinished").exists()
    (state / "data.mdb").write_bytes(before.pop(next(p for p in before if p.parent == p.parent.parent)))
    assert {p.relative_to(state): p.read_bytes() for p in state.rglob("*/data.mdb")} == before
    assert [p.name for p in edge.state_dir.glob("store*")] and not list(edge.state_dir.glob("store.before-*"))
    edge.start()


def test_a_store_that_was_removed_is_restored(edge):
    backup = edge.directory / "backup"
    store(edge, "backup", backup)
    edge.stop()
    shutil.rmtree(edge.state_dir / "store")
    shutil.copytree(backup, edge.state_dir / "store.unfinished")  # of a restore that was interrupted
    said = store(edge, "restore", backup)
    assert "former" not in said and not (edge.state_dir / "store.unfinished").exists()
    edge.start()
    assert list(previews(edge)) == [("one", 80)]


def test_restores_in_a_row_lose_no_store(edge):
    """Also within one second, the resolution of the names of former stores."""
    backup = edge.directory / "backup"
    store(edge, "backup", backup)
    edge.create_preview(81, "one")
    edge.stop()
    former = [re.search("The former store is in (.*)\\.", store(edge, "restore", backup)).group(1) for _ in range(4)]
    assert len(set(former)) == 4
    for kept in former:
        assert "is whole" in store(edge, "check", kept)
    store(edge, "restore", former[0])
    edge.start()
    assert set(previews(edge)) == {("one", 80), ("one", 81)}


def test_what_an_interrupted_restore_left_is_not_its_own_source(edge):
    backup, left = edge.directory / "backup", edge.state_dir / "store.unfinished"
    store(edge, "backup", backup)
    edge.stop()
    shutil.copytree(backup, left)
    done = store(edge, "restore", left, check=False)
    assert done.returncode == 1 and "give it another name first" in done.stderr
    assert "is whole" in store(edge, "check", left)


def test_words(edge):
    for words, status in ((["backup"], 2), (["restore"], 2), (["backup", "a", "b"], 2), (["sing"], 2), ([], 2),
                          (["backup", "--json", "x"], 2), (["check", "--socket", "x"], 2)):
        done = subprocess.run([BINARY, "store", *words], capture_output=True, text=True, check=False, cwd=edge.directory)
        assert done.returncode == status, (words, done)
