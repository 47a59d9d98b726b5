"""Boxes and their states: creating -> idle <-> running (while a command runs) <-> paused -> deleted. One lock
for all; listeners are notified of a change after it."""

import contextlib
import os
import pathlib
import random
import shutil
import threading
import time

from .errors import Refusal
from .files import Files
from .processes import ProcessGroup

WORDS = (("brave", "calm", "eager", "fair", "keen", "proud", "sweet", "warm"),
         ("crane", "heron", "lynx", "otter", "raven", "shark", "tiger", "wren"))
EPHEMERAL_SECONDS = 3 * 24 * 3600
# The fields that a caller may set.
TEXTS = ("name", "size", "runtime")


class Box:
    """Fields change under the lock of its Boxes only."""

    def __init__(self, box_id, owner, directory, address, wishes):
        self.id, self.owner, self.address = box_id, owner, address
        self.directory = directory
        self.files = Files(directory)
        self.group = ProcessGroup()
        self.state = "creating"
        self.commands = 0
        self.texts = {name: wishes[name] for name in TEXTS if isinstance(wishes.get(name), str)}
        self.labels = wishes.get("labels") or []
        self.keep_alive = wishes.get("keep_alive") is True
        self.created_at = self.changed_at = self.active_at = int(time.time())
        self.ephemeral = wishes.get("ephemeral") is True
        self.expires_at = self.created_at + wishes.get("ttl", EPHEMERAL_SECONDS) if self.ephemeral else 0
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.files.directory), "LANG": "C.UTF-8",
            "BOX_ID": box_id, "BOX_ADDRESS": address or "", **(wishes.get("env_vars") or {})}

    def described(self):
        """The box in the API's form."""
        shown = {
            "id": self.id, "status": self.status, "created_at": self.created_at, "updated_at": self.changed_at,
            "last_activity_at": self.active_at, "keep_alive": self.keep_alive, "labels": self.labels,
            "size": "small", **self.texts}
        if self.ephemeral:
            shown.update(ephemeral=True, expires_at=self.expires_at)
        return shown

    @property
    def status(self):
        return "running" if self.state == "idle" and self.commands else self.state


class Boxes:
    """All boxes below a directory. Creating and resuming a box take `create_seconds` and `resume_seconds`. A
    box gets one of `addresses` while it lives, or none. `on_change(box)` is called after each change of a
    state."""

    def __init__(self, directory, addresses=(), create_seconds=0, resume_seconds=0, on_change=None):
        self.directory = pathlib.Path(directory)
        self.create_seconds, self.resume_seconds, self.on_change = create_seconds, resume_seconds, on_change
        self._addresses = list(addresses)
        self._boxes, self._snapshots = {}, {}
        self._changed = threading.Condition()
        self._timers = set()
        for name in ("boxes", "snapshots", "spool"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)

    # ---- lookups

    def find(self, name, owner=None):
        """The box of that id or name; of any owner if none is given."""
        with self._changed:
            found = self._boxes.get(name) or next(
                (b for b in self._boxes.values() if b.texts.get("name") == name and owner in (None, b.owner)), None)
        if found is not None and found.expires_at and found.expires_at <= time.time():
            self.remove(found)
            found = None
        if found is None or owner not in (None, found.owner):
            raise Refusal(404, f"There is no box {name}.")
        return found

    def of(self, owner, label=None):
        with self._changed:
            return [b for b in self._boxes.values() if b.owner == owner and (label is None or label in b.labels)]

    # ---- life

    def create(self, owner, wishes, snapshot=None):
        _check(wishes)
        with self._changed:
            box_id = self._new_id()
            directory = self.directory / "boxes" / box_id
            if snapshot is None:
                directory.mkdir()
            else:
                shutil.copytree(self._snapshot(owner, snapshot)["directory"], directory, symlinks=True)
            address = self._addresses.pop(0) if self._addresses else None
            box = self._boxes[box_id] = Box(box_id, owner, directory, address, wishes)
        # An ephemeral box is ready when the answer is sent.
        if self.create_seconds and not box.ephemeral:
            timer = threading.Timer(self.create_seconds, self._move, (box, ("creating",), "idle"))
            timer.daemon = True
            self._timers.add(timer)
            timer.start()
        else:
            self._move(box, ("creating",), "idle")
        return box

    def pause(self, box):
        """Does nothing to a paused box."""
        if box.ephemeral:
            raise Refusal(400, "An ephemeral box cannot be paused.")
        if box.keep_alive:
            raise Refusal(400, "A box that is kept alive cannot be paused.")
        if self._move(box, ("idle",), "paused", box.group.freeze):
            return
        self._expect(box, "paused")

    def resume(self, box):
        """Returns when it runs; does nothing to a running box."""
        if box.state == "paused" and self.resume_seconds:
            time.sleep(self.resume_seconds)
        if not self._move(box, ("paused",), "idle", box.group.thaw):
            self._expect(box, "idle")

    def remove(self, box):
        if not self._move(box, ("creating", "idle", "paused", "error"), "deleted", box.group.close):
            return
        with self._changed:
            self._boxes.pop(box.id, None)
            if box.address is not None:
                self._addresses.append(box.address)
        shutil.rmtree(box.directory, ignore_errors=True)

    @contextlib.contextmanager
    def working(self, box):
        """While a command runs in the box."""
        with self._changed:
            self._expect(box, "idle")
            box.commands += 1
            box.active_at = int(time.time())
        try:
            yield
        finally:
            with self._changed:
                box.commands -= 1

    def active(self, box_id):
        """Records a use of the box."""
        with self._changed:
            if box_id in self._boxes:
                self._boxes[box_id].active_at = int(time.time())

    def close(self):
        for timer in self._timers:
            timer.cancel()
        for box in list(self._boxes.values()):
            self.remove(box)

    # ---- snapshots

    def snapshot(self, box, name):
        snapshot_id = f"snap-{random.randrange(16 ** 8):08x}"
        directory = self.directory / "snapshots" / snapshot_id
        shutil.copytree(box.directory, directory, symlinks=True)
        size = sum(f.lstat().st_size for f in directory.rglob("*") if f.is_file())
        with self._changed:
            self._snapshots[snapshot_id] = {
                "owner": box.owner, "directory": directory, "shown": {
                    "id": snapshot_id, "name": name, "box_id": box.id, "size_bytes": size, "status": "ready",
                    "created_at": int(time.time())}}
            return self._snapshots[snapshot_id]["shown"]

    def snapshots_of(self, box):
        with self._changed:
            return [s["shown"] for s in self._snapshots.values() if s["shown"]["box_id"] == box.id]

    def remove_snapshot(self, owner, snapshot_id):
        with self._changed:
            directory = self._snapshot(owner, snapshot_id)["directory"]
            del self._snapshots[snapshot_id]
        shutil.rmtree(directory, ignore_errors=True)

    def _snapshot(self, owner, snapshot_id):
        found = self._snapshots.get(snapshot_id)
        if found is None or found["owner"] != owner:
            raise Refusal(404, f"There is no snapshot {snapshot_id}.")
        return found

    # ---- states

    def _move(self, box, before, after, action=None):
        """The only change of a state; whether it happened."""
        with self._changed:
            if box.state not in before:
                return False
            if action is not None:
                action()
            box.state = after
            box.changed_at = int(time.time())
            self._changed.notify_all()
        if self.on_change is not None:
            self.on_change(box)
        return True

    @staticmethod
    def _expect(box, state):
        if box.state == state:
            return
        hint = ": resume it first" if box.state == "paused" else ""
        raise Refusal(404 if box.state == "deleted" else 409, f"The box {box.id} is {box.state}{hint}.")

    def _new_id(self):
        while True:
            box_id = f"{random.choice(WORDS[0])}-{random.choice(WORDS[1])}-{random.randrange(10000, 99999)}"
            if box_id not in self._boxes:
                return box_id


def _check(wishes):
    variables, ttl, labels = wishes.get("env_vars") or {}, wishes.get("ttl", 1), wishes.get("labels") or []
    if not isinstance(variables, dict) or not all(isinstance(v, str) for v in variables.values()):
        raise Refusal(400, "The variables of a box are an object of strings.")
    if not isinstance(labels, list) or not all(isinstance(v, str) for v in labels):
        raise Refusal(400, "The labels of a box are a list of strings.")
    if not isinstance(ttl, int) or not 1 <= ttl <= EPHEMERAL_SECONDS:
        raise Refusal(400, f"The ttl of a box is 1 to {EPHEMERAL_SECONDS} seconds.")
