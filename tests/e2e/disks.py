"""Disks for a store that a test fills or makes read-only."""

import contextlib
import json
import os
import pathlib
import re
import struct
import subprocess

import pytest
from admin_api import JSON, Admin
from harness import PATIENCE, ROOT, SLOW, Edge

LONG = PATIENCE * SLOW


def skip_unless(done, what):
    if done.returncode != 0:
        pytest.skip(f"{what} here: {done.stderr}")


@contextlib.contextmanager
def small_disk(place, size):
    """A separate file system at `place`, in memory."""
    pathlib.Path(place).mkdir(exist_ok=True)
    skip_unless(subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], capture_output=True, text=True,
                               check=False), "no file system can be mounted")
    try:
        yield pathlib.Path(place)
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(disk):
    """Writes until no byte fits; the file."""
    path = pathlib.Path(disk) / "big"
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


@contextlib.contextmanager
def failing_disk(folder):
    """An ext4 in a file; yields its place and a function that makes it read-only as the kernel does after an error."""
    image, place = folder / "image", folder / "ext4"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(32 << 20)
    options = {"capture_output": True, "text": True, "check": False}
    skip_unless(subprocess.run(["mkfs.ext4", "-q", "-F", "-e", "remount-ro", image], **options), "no ext4 can be made")
    skip_unless(subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, place], **options), "no ext4 can be mounted")
    try:
        device = subprocess.run(["losetup", "-j", image], **options).stdout.partition(":")[0]
        trigger = pathlib.Path("/sys/fs/ext4", os.path.basename(device), "trigger_fs_error")
        if not trigger.exists():
            pytest.skip("this kernel has no trigger_fs_error")

        def fail():
            os.sync()
            trigger.write_text("a test")
            os.sync()

        yield place, fail
    finally:
        subprocess.run(["umount", "-l", place], check=True)


class FaultyEdge(Edge):
    """An edge whose stores below a directory get write errors from the disk when a test wants
    (disk_fault.c)."""

    def __init__(self, folder, **more):
        folder.mkdir(parents=True, exist_ok=True)
        library = folder / "disk_fault.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, ROOT / "tests/e2e/disk_fault.c"],
                       check=True, timeout=LONG)
        self.fault_file = folder / "fault"
        self.refuse(0)
        super().__init__(folder, start=False, env={
            "LD_PRELOAD": str(library), "DISK_FAULT": str(self.fault_file), "DISK_FAULT_DIR": str(folder / "state"),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}, **more)
        self.start()

    def refuse(self, error):
        with open(self.fault_file, "r+b" if self.fault_file.exists() else "wb") as file:
            file.write(struct.pack("=i", error))


def figure(edge, name):
    """The value of a metric; `name` includes its labels."""
    return float(re.search(rf"^{re.escape(name)} (\S+)$", edge.command("metrics"), re.M)[1])


def push(edge, box):
    """A control plane reports a box: the status and the answer."""
    admin = Admin(edge.admin_socket)
    admin.timeout = 60
    with contextlib.closing(admin):
        status, _, body = admin.call("PUT", f"/v1/boxes/{box}", json.dumps(
            {"id": box, "state": "running", "address": "10.0.0.1", "port": 3000}), JSON)
        return status, body
