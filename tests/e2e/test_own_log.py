"""The edge's own log (stderr): a stalled reader delays no process of the edge."""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import time

import pytest

import harness
from harness import SLOW, Edge
from processes import gone
from wire import PATIENCE


class Stalled(Edge):
    """An edge whose stderr is a pipe that is read only during its start, and then filled to the brim."""

    def start(self, timeout=PATIENCE * SLOW):
        self.write_config()
        self.read_fd, write_fd = os.pipe()
        fcntl.fcntl(self.read_fd, fcntl.F_SETPIPE_SZ, 4096)
        self.process = subprocess.Popen(
            [str(harness.BINARY), "run", "-c", str(self.config_path)], cwd=self.directory, env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write_fd, start_new_session=True)
        text = b""
        while b"boxedge: ready:" not in text:
            text += os.read(self.read_fd, 4096) or pytest.fail(f"the edge did not start: {text}")
        # Another open file of the same pipe: O_NONBLOCK is ours alone.
        again = os.open(f"/proc/self/fd/{write_fd}", os.O_WRONLY | os.O_NONBLOCK)
        os.close(write_fd)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(again, b"x" * 63 + b"\n")
        os.close(again)
        return self

    def lost(self):
        """Messages that the edge could not write so far."""
        got = subprocess.run(["curl", "-fsS", "--unix-socket", self.admin_socket, "http://edge/metrics"],
                             capture_output=True, text=True, check=True, timeout=PATIENCE)
        return int(re.search(r"^boxedge_messages_lost_total (\d+)", got.stdout, re.M)[1])

    def fill(self):
        """Makes the edge log more than any pipe holds."""
        good = self.config_path.read_text()
        self.config_path.write_text(good + "".join(f"{'k' * 200}{i}: 1\n" for i in range(400)))
        deadline = time.monotonic() + PATIENCE * SLOW
        while self.lost() == 0:
            assert time.monotonic() < deadline, "the edge's messages find room for ever"
            self.process.send_signal(signal.SIGHUP)
            time.sleep(0.02)  # only the log reports a refused reload
        self.config_path.write_text(good)

    def read_until(self, pattern):
        text = b""
        while not (found := re.search(pattern, text)):
            text += os.read(self.read_fd, 65536) or pytest.fail(f"ended: {text[-500:]}")
        return found

    def finish(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE * SLOW)


@pytest.fixture
def stalled(tmp_path):
    edge = Stalled(tmp_path / "edge", workers=2,
                   config={"log": {"access": "off"}, "timeouts": {"heartbeat": "1s"}})
    edge.fill()
    yield edge
    if edge.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(edge.process.pid, signal.SIGKILL)
        edge.process.wait(10)
    with contextlib.suppress(OSError):
        os.close(edge.read_fd)
    harness.shutil.rmtree(edge.run_dir, ignore_errors=True)


def test_commands_and_requests_are_answered(stalled, origin):
    host = stalled.create_preview(origin)
    assert stalled.get(host).status == 200
    assert "worker" in stalled.command("status")
    stalled.command("reload")
    stalled.command("preview", "delete", "box", origin.port)


@pytest.mark.parametrize("role", ["worker", "controller"])
def test_the_dead_are_buried_and_followed(stalled, role):
    victim = stalled.pids(role)[0]
    count = len(stalled.pids(role))
    os.kill(victim, signal.SIGKILL)
    stalled.wait_until(lambda: gone(victim) and len(stalled.pids(role)) == count, PATIENCE * SLOW, "another process")
    stalled.wait_until(lambda: stalled.command("status", check=False).returncode == 0, PATIENCE * SLOW)


def test_the_watchdog_works(stalled):
    victim = stalled.pids("worker")[0]
    os.kill(victim, signal.SIGSTOP)
    stalled.wait_until(lambda: gone(victim) and len(stalled.pids("worker")) == 2, PATIENCE * SLOW, "another worker")


def test_it_ends_though_nobody_reads(stalled):
    assert stalled.finish() == 0


def test_the_reader_that_comes_back_learns_how_much_it_missed(stalled):
    lost = stalled.lost()
    said = int(stalled.read_until(rb"boxedge: (\d+) messages were lost here, because")[1])
    assert said >= lost
    stalled.command("reload")
    stalled.read_until(rb" boxedge: reloaded: ")
    os.set_blocking(stalled.read_fd, True)
    stalled.process.send_signal(signal.SIGTERM)
    stalled.read_until(rb" boxedge: ended\n")
    assert stalled.process.wait(PATIENCE * SLOW) == 0


def test_its_stderr_stays_as_it_was_given(tmp_path):
    """O_NONBLOCK would apply to everybody with the same open file."""
    read_fd, write_fd = os.pipe()
    edge = Edge(tmp_path / "edge", start=False)
    edge.write_config()
    edge.process = subprocess.Popen(
        [str(harness.BINARY), "run", "-c", str(edge.config_path)], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=write_fd, start_new_session=True)
    with open(read_fd, "rb") as lines:
        assert any(b"boxedge: ready:" in line for line in lines)
        assert not fcntl.fcntl(write_fd, fcntl.F_GETFL) & os.O_NONBLOCK
        os.close(write_fd)
        edge.process.send_signal(signal.SIGTERM)
        assert lines.read().endswith(b"boxedge: ended\n")
    assert edge.process.wait(PATIENCE * SLOW) == 0
    harness.shutil.rmtree(edge.run_dir, ignore_errors=True)


def test_a_killed_logger_is_followed_by_another(stalled):
    victim, = stalled.pids("logger")
    os.kill(victim, signal.SIGKILL)
    stalled.wait_until(lambda: stalled.pids("logger") not in ([], [victim]), PATIENCE * SLOW, "another logger")
    stalled.command("reload")
    stalled.read_until(rb" boxedge: reloaded: ")
    assert stalled.finish() == 0


def test_all_that_is_wrong_finds_room(tmp_path):
    """More than a pipe holds by default, logged faster than it is read."""
    config = tmp_path / "bad.yaml"
    config.write_text("preview_domain: a.example\nlisteners: [{kind: tls, address: '127.0.0.1:1'}]\n"
                      + "".join(f"{'k' * 60}{i}: 1\n" for i in range(1000)))
    run, check = (subprocess.run([str(harness.BINARY), verb, "-c", str(config)], capture_output=True, text=True,
                                 check=False, timeout=PATIENCE * SLOW) for verb in ("run", "check"))
    assert len(run.stderr) > 65536
    wrong = [line for line in (check.stdout + check.stderr).splitlines() if "is not a known key" in line]
    said = [line.split(" conf_error boxedge: ", 1)[-1] for line in run.stderr.splitlines()]
    assert said[: len(wrong)] == wrong
    assert run.returncode == 1 and run.stderr.endswith("boxedge: not started\n")


def test_what_is_wrong_is_said_before_it_ends(tmp_path):
    """Each message of a failing start is written before the edge has ended."""
    config = tmp_path / "bad.yaml"
    config.write_text("nonsense: 1\n")
    done = subprocess.run([str(harness.BINARY), "run", "-c", str(config)], capture_output=True, text=True, check=False,
                          timeout=PATIENCE * SLOW)
    assert done.returncode == 1
    assert "nonsense" in done.stderr and done.stderr.endswith("boxedge: not started\n")


def test_each_message_has_its_time_level_and_code(tmp_path):
    with Edge(tmp_path / "edge") as edge:
        edge.expect_deaths = True
        victim = edge.pids("worker")[0]
        os.kill(victim, signal.SIGKILL)
        edge.stderr.wait_for(lambda line: "worker 0 is back" in line)
        for level, code, sentence in (("notice", "ready", "boxedge: ready: "), ("error", "process_died", "boxedge: worker 0 "),
                                      ("notice", "process_back", "boxedge: worker 0 is back")):
            line = next(line for line in edge.stderr.lines if sentence in line)
            assert re.match(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z {level} {code} {re.escape(sentence)}", line)


def messages(lines, code):
    return [line for line in map(json.loads, lines) if line["code"] == code]


def test_messages_are_json_on_request(tmp_path):
    """Also the last words of a crash, and the errors of a reload, which can change the form back."""
    with Edge(tmp_path / "edge", config={"log": {"messages": "json"}}) as edge:
        edge.expect_deaths = True
        ready, = messages(edge.stderr.lines, "ready")
        assert (ready["level"], ready["process"]) == ("notice", "supervisor") and ready["message"].startswith("ready: ")
        os.kill(edge.pids("worker")[0], signal.SIGABRT)
        edge.stderr.wait_for(lambda line: "worker 0 is back" in line)
        crash = messages(edge.stderr.lines, "crash")
        assert {line["process"] for line in crash} == {"worker 0"} and "crash: signal SIGABRT" in crash[0]["message"]
        good = edge.config_path.read_text()
        edge.config_path.write_text(good + "nonsense: 1\n")
        edge.process.send_signal(signal.SIGHUP)
        edge.stderr.wait_for(lambda line: '"reload_refused"' in line)
        wrong, = messages(edge.stderr.lines, "conf_error")
        assert wrong["level"] == "error" and "nonsense" in wrong["message"]
        edge.config_path.write_text(re.sub(r"(messages\W+)json", r"\1text", good))
        edge.command("reload")
        edge.stderr.wait_for(lambda line: " notice reload_done boxedge: reloaded" in line)
