"""A newcomer's first command, deploy/quickstart, twice in a row: its output is followed literally."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from harness import PATIENCE, ROOT, Lines
from processes import gone

pytestmark = pytest.mark.timeout(600)  # before the release build exists


class Quickstart:
    """A running deploy/quickstart, and its output up to the message that it runs."""

    def __init__(self):
        self.process = subprocess.Popen(
            [ROOT / "deploy/quickstart"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.out = Lines(self.process.stdout)
        self.out.wait_for(lambda line: line.startswith("Running until Ctrl-C."), 500)
        self.lines = [line.strip() for line in self.out.lines]

    def one(self, start):
        """The only line with that beginning, without it."""
        (line,) = [line for line in self.lines if line.startswith(start)]
        return line[len(start):].strip()

    def curl(self, url_end):
        """The printed command for an address with that ending."""
        (line,) = [line for line in self.lines if line.startswith("curl ") and line.rstrip("'").endswith(url_end)]
        return line

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """Ctrl-C, as a terminal sends it; then no process may be left."""
        os.killpg(self.process.pid, signal.SIGINT)
        status = self.process.wait(3 * PATIENCE)
        self.out.join(PATIENCE)
        if kind is not None:
            print("\n".join(self.out.lines))
            return
        assert status == 0 and "stopping" in self.out.lines
        assert not pathlib.Path(self.one("Access log:")).parent.exists()


def test_an_edge_that_was_killed_is_no_good_end():
    quickstart = Quickstart()
    status = run_boxedge(quickstart, "box list -c ", "status --json -c ")
    os.kill(json.loads(status)["supervisor_pid"], signal.SIGKILL)
    assert quickstart.process.wait(3 * PATIENCE) == 1
    quickstart.out.join(PATIENCE)
    assert any("ended by itself" in line for line in quickstart.out.lines)
    assert not pathlib.Path(quickstart.one("Access log:")).parent.exists()


def test_an_upgraded_edge_ends_with_it():
    with Quickstart() as quickstart:
        pid = [json.loads(run_boxedge(quickstart, "box list -c ", "status --json -c "))["supervisor_pid"]]
        for _ in range(2):
            assert "serves now" in run_boxedge(quickstart, "box list -c ", "upgrade -c ")
            pid.append(json.loads(run_boxedge(quickstart, "box list -c ", "status --json -c "))["supervisor_pid"])
        assert len(set(pid)) == 3
        assert json.loads(run(quickstart.curl("/headers")))["headers"] and quickstart.process.poll() is None
    assert gone(pid[-1])


def run(command):
    done = subprocess.run(["bash", "-c", f"{command} -sS --max-time 60"], capture_output=True, check=False,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout


def first_event(command):
    with subprocess.Popen(["bash", "-c", f"exec {command} -sS"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        line = Lines(process.stdout).wait_for(lambda line: line.startswith("data:"))
        process.kill()
    return line


def try_everything(quickstart):
    fields = {k.lower(): v for k, v in json.loads(run(quickstart.curl("/headers")))["headers"]}
    assert fields["x-forwarded-proto"] == "https" and quickstart.one("https://demo-box-").split(".")[0] in fields["host"]
    assert first_event(quickstart.curl("/events"))
    upload = quickstart.curl("/upload")
    sent = pathlib.Path(upload.split("-T ")[1].split()[0]).read_bytes()
    assert json.loads(run(upload)) == {"bytes": len(sent), "sha256": hashlib.sha256(sent).hexdigest()}
    run(quickstart.curl("/bytes?n=100000000"))
    assert run(next(line for line in quickstart.lines if "took %{time_total}" in line)).startswith(b"took ")
    boxes = run_boxedge(quickstart, "box list -c ")
    assert "demo-sleeper" in boxes and "running" in boxes
    with subprocess.Popen(["tail", "-n", "+1", "-F", quickstart.one("Access log:")], stdout=subprocess.PIPE) as log:
        Lines(log.stdout).wait_for(lambda line: '"box":"demo-sleeper"' in line)
        log.kill()


def run_boxedge(quickstart, command, instead=None):
    """A printed command; with `instead` another one of the same edge."""
    (line,) = [line for line in quickstart.lines if command in line]
    line = line.replace(command, instead or command)
    return subprocess.run(["bash", "-c", line.partition("(and:")[0]], capture_output=True, text=True, check=True,
                          timeout=PATIENCE).stdout


def test_twice_in_a_row_and_as_it_checks_itself():
    authorities = []
    for _ in range(2):
        with Quickstart() as quickstart:
            try_everything(quickstart)
            authorities.append(pathlib.Path(quickstart.curl("/headers").split("--cacert ")[1].split()[0]).read_bytes())
    # It needs to be trusted only once.
    assert authorities[0] == authorities[1]
    # Not a separate test: one quickstart at a time has the state directory.
    looked = subprocess.run([ROOT / "deploy/quickstart", "--check"], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, timeout=500, check=False)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert "the sleeping box wakes and falls asleep again" in looked.stdout


@pytest.mark.skipif(shutil.which("certutil") is None, reason="certutil (libnss3-tools) is not there")
def test_chromium_trusts_the_authority_by_the_command(tmp_path):
    """Also if the user has no database yet, and a second time."""
    with Quickstart() as quickstart:
        command = quickstart.one("Chromium of this user")
        home = {**os.environ, "HOME": str(tmp_path)}
        for _ in range(2):
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=home,
                                  stdin=subprocess.DEVNULL, timeout=PATIENCE)
            assert done.returncode == 0, done
        listed = subprocess.run(["certutil", "-d", f"sql:{tmp_path}/.pki/nssdb", "-L"], capture_output=True, text=True,
                                check=True)
        assert [line.split() for line in listed.stdout.splitlines() if "boxedge-local" in line] == [["boxedge-local", "C,,"]]


# ---- Ctrl-C before it runs


@pytest.fixture
def fresh(tmp_path):
    """Starts it in a tree that was never built, with an empty folder for temporary files."""
    tree, scratch = tmp_path / "tree", tmp_path / "tmp"
    shutil.copytree(ROOT, tree, symlinks=True,
                    ignore=shutil.ignore_patterns("build", ".git", "node_modules", "__pycache__", ".pytest_cache"))
    scratch.mkdir()
    started = []

    def start(**env):
        started.append(subprocess.Popen(
            [tree / "deploy/quickstart"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True, env={**os.environ, "TMPDIR": str(scratch), **env},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)))
        return started[-1], scratch

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def log_of_build(scratch):
    return "".join(log.read_text() for log in scratch.glob("*/log"))


@pytest.mark.parametrize("point", ["Detecting C compiler ABI info", "Building C object"], ids=["configure", "compile"])
def test_interrupted_in_the_build(fresh, point):
    process, scratch = fresh()
    deadline = time.monotonic() + 120
    while point not in log_of_build(scratch):
        assert process.poll() is None and time.monotonic() < deadline, log_of_build(scratch)
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=3 * PATIENCE)
    assert process.returncode == 130, out
    assert not list(scratch.iterdir())
    assert "Building" not in out and "FAILED" not in out  # no log of a build that did not fail


def test_interrupted_as_it_makes_its_folder(fresh, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "mktemp").write_text(f'#!/bin/bash\nmade=$({shutil.which("mktemp")} "$@")\nkill -INT 0\necho "$made"\n')
    (tools / "mktemp").chmod(0o755)
    process, scratch = fresh(PATH=f"{tools}:{os.environ['PATH']}")
    out, _ = process.communicate(timeout=3 * PATIENCE)
    assert process.returncode == 130, out
    assert not list(scratch.iterdir())
