"""The program of the previous release, built from the history of the repository."""

import fcntl
import os
import pathlib
import shutil
import subprocess

import pytest
from harness import ROOT

# Before the first tag: the last commit before the seal of records, the only addition to the store so far (`minor` in
# docs/internals/store.md).
BEFORE_TAGS = "a71b759cf900b539a357106390248b277b638659"


def _git(*arguments):
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def tag():
    """The newest tag v* before HEAD; None: no such tag."""
    return _git("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD~1")


def commit():
    """Of the tag, else of BEFORE_TAGS; None without that history."""
    return _git("rev-parse", "--verify", "--quiet", f"{tag() or BEFORE_TAGS}^{{commit}}")


def binary():
    """Builds it if it is missing, which takes minutes; skips the test without the history."""
    wanted = commit() if shutil.which("git") else None
    if wanted is None:
        pytest.skip("the previous release is not in the history of this copy (a shallow clone, or no repository)")
    folder = pathlib.Path(os.environ.get("BOXEDGE_PREVIOUS", ROOT / "build/previous")) / wanted
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "build/boxedge"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return made
        (folder / "source").mkdir(exist_ok=True)
        with subprocess.Popen(["git", "-C", str(ROOT), "archive", wanted], stdout=subprocess.PIPE) as archive:
            subprocess.run(["tar", "-x", "-C", folder / "source"], stdin=archive.stdout, check=True)
        assert archive.returncode == 0
        # Less optimized than a release, which takes half as long: the tests look at the store and the hand-over.
        launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        for command in (["cmake", "-S", folder / "source", "-B", folder / "build", "-G", "Ninja",
                         "-DCMAKE_BUILD_TYPE=Plain", "-DCMAKE_C_FLAGS=-O1", "-DBOXEDGE_TESTS=OFF", *launcher],
                        ["cmake", "--build", folder / "build", "--target", "boxedge"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return made
