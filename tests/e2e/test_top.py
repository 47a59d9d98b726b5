"""`boxedge top`: the rows of a load, in a terminal and without one, and the terminal after its end."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

from api_world import API, answer, api_config
from harness import BINARY, RawOrigin, WebSocketOrigin, merge
from processes import ends_whole, upgrade
from tunnel_clients import Echoes, frame, read_frame
from waits_clients import LONG

FRAME = "\x1b[H"
RESTORED = "\x1b[?25h\x1b[?1049l"


@contextlib.contextmanager
def load(edge, *requests):
    """Requests of (host, path, fields), one after the other, until the end."""
    stop, failures = threading.Event(), []

    def run():
        while not stop.is_set():
            for host, path, fields in requests:
                try:
                    edge.get(host, path, fields=fields)
                except OSError as error:
                    failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield failures
    finally:
        stop.set()
        thread.join(LONG)


def rows(edge, *options):
    return json.loads(edge.command("top", "--json", *options))


class Terminal:
    """`boxedge top` in a terminal of some size."""

    def __init__(self, edge, *options, columns=200, lines=50):
        self.primary, secondary = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(secondary)
        self.secondary, self.text = secondary, ""
        self.process = subprocess.Popen(
            [str(BINARY), "top", "-c", str(edge.config_path), *options], stdin=secondary, stdout=secondary,
            stderr=secondary, env=edge.env, start_new_session=True)

    def resize(self, columns, lines):
        self.columns, self.lines = columns, lines
        fcntl.ioctl(self.primary, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self, deadline):
        if select.select([self.primary], [], [], max(0, deadline - time.monotonic()))[0]:
            with contextlib.suppress(OSError):  # EIO: nobody has the other end
                self.text += os.read(self.primary, 65536).decode()
                return True
        return False

    def frames(self):
        """Whole screens: lines without what clears them."""
        whole = self.text.split(FRAME)[1:-1]
        return [[line.rstrip("\r") for line in re.sub(r"\x1b\[[KJ]", "", one).split("\n")] for one in whole]

    def until(self, condition):
        deadline, seen = time.monotonic() + LONG, 0
        while True:
            frames = self.frames()
            for one in frames[seen:]:
                if condition(one):
                    return one
            seen = len(frames)
            assert self._read(deadline), self.text[-2000:]

    def send(self, keys):
        os.write(self.primary, keys)

    def ended(self):
        """Its exit status; the terminal is as it was."""
        deadline = time.monotonic() + LONG
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(time.monotonic() + 0.05)
        while self._read(time.monotonic() + 0.05):
            pass
        assert termios.tcgetattr(self.secondary) == self.before
        assert self.text.endswith(RESTORED), self.text[-200:]
        assert self.text.count("\x1b[?1049h") == self.text.count("\x1b[?1049l") == 1
        return self.process.wait(LONG)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LONG)
        os.close(self.primary)
        os.close(self.secondary)


@pytest.fixture(name="loaded")
def fixture_loaded(make_edge):
    """An edge under load: two boxes, one of which fails."""
    with RawOrigin(answer("x" * 100)) as good, RawOrigin(
            b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno") as bad:
        edge = make_edge(workers=2)
        hosts = edge.create_preview(good), edge.create_preview(bad)
        with load(edge, (hosts[0], "/", []), (hosts[1], "/", []), (f"box-1.{hosts[0].split('.', 1)[1]}", "/", [])):
            yield edge, good, bad


def test_rows_by_box_and_preview(loaded):
    edge, good, bad = loaded
    found = rows(edge)
    assert found["by"] == "box" and found["window_ms"] > 0 and found["missing"] == []
    (row,) = found["rows"]
    assert row["name"] == "box" and row["requests_per_s"] > 0 and row["errors_per_s"] > 0 and not row["approximate"]
    assert row["response_bytes_per_s"] > 0 and 0 < row["p50_ms"] <= row["p95_ms"] and row["mean_ms"] > 0
    assert found["all"]["own_errors_per_s"] > 0 and found["all"]["requests_per_s"] > row["requests_per_s"]
    by_preview = {row["name"]: row for row in rows(edge, "--by", "preview", "--sort", "errors")["rows"]}
    assert list(by_preview) == [f"box-{bad.port}", f"box-{good.port}"]
    assert by_preview[f"box-{good.port}"]["errors_per_s"] == 0
    assert rows(edge, "--by", "preview", "-n", "1")["left_out"] == 1
    text = edge.command("top", "--by", "preview", "--once")
    assert "PREVIEW" in text and f"box-{good.port}" in text and "\x1b" not in text


def test_figures_agree_with_the_load(make_edge):
    """A known number of requests within one window: each is counted once, over both workers."""
    with RawOrigin(answer("x" * 100)) as app:
        edge = make_edge(workers=2)
        host = edge.create_preview(app)
        rows(edge)  # the workers count
        for _ in range(20):
            assert edge.get(host).status == 200

        def all_there():
            found = rows(edge)
            (row,) = found["rows"] or [{"requests_per_s": 0}]
            return 19 < row["requests_per_s"] * found["window_ms"] / 1000 < 21.5

        edge.wait_until(all_there, LONG, "20 requests in a window")


def test_keys_and_upstreams(make_edge):
    with RawOrigin(answer("{}")) as app:
        edge = make_edge(config=merge(api_config([app.port]), {"plans": [{"name": "free", "rate": "0"}]}))
        key = json.loads(edge.command("key", "create", "ci", "--plan", "free", "--json"))["key"]
        with load(edge, (API, "/v2/box", [f"X-Box-Api-Key: {key}"])):
            edge.wait_until(lambda: rows(edge, "--by", "key")["rows"], LONG, "its row")
            (row,) = rows(edge, "--by", "key")["rows"]
            assert row["name"] == "ci" and row["requests_per_s"] > 0
            (row,) = rows(edge, "--by", "upstream")["rows"]
            assert row["requests_per_s"] > 0
            assert key not in edge.command("top", "--by", "key", "--once") + edge.command("top", "--by", "key", "--json")


def test_tunnels_show_while_they_last(make_edge):
    with WebSocketOrigin() as app:
        edge = make_edge(workers=2, config={"timeouts": {"drain": "1s"}})
        with ends_whole(edge):
            host = edge.create_preview(app)
            with Echoes(edge, host, count=1) as tunnel:
                tunnel.echo()
                upgrade(edge)  # an old worker has it now
                rows(edge)
                client = tunnel.clients[0]

                def carries():
                    client.send(frame(1, b"x" * 100))
                    assert read_frame(client) == (1, b"x" * 100)
                    found = rows(edge)["rows"]
                    return found and found[0]["open"] == 1 and found[0]["response_bytes_per_s"] > 0

                edge.wait_until(carries, LONG, "its bytes")


@pytest.mark.parametrize("end", [b"q", b"\x03", "SIGTERM", "SIGHUP"])
def test_a_terminal_is_left_as_it_was(loaded, end):
    edge, good, _ = loaded
    with Terminal(edge, "--by", "preview") as terminal:
        screen = terminal.until(lambda lines: any(f"box-{good.port}" in line for line in lines))
        assert any("PREVIEW" in line and "REQ/s" in line for line in screen)
        if isinstance(end, bytes):
            terminal.send(end)
        else:
            terminal.process.send_signal(getattr(signal, end))
        assert terminal.ended() == 0


def test_keys_change_the_table(loaded):
    edge, good, _ = loaded
    with Terminal(edge) as terminal:
        terminal.until(lambda lines: any(line.startswith("BOX ") for line in lines))
        terminal.send(b"p")
        terminal.until(lambda lines: any(line.startswith(f"box-{good.port}") for line in lines))
        terminal.send(b"s")
        terminal.until(lambda lines: any("sorted by in" in line for line in lines))
        terminal.send(b"k")
        terminal.until(lambda lines: any(line.startswith("KEY ") for line in lines))
        terminal.send(b"xyz\x1b[Aq")
        assert terminal.ended() == 0


@pytest.mark.parametrize("columns, lines", [(20, 3), (80, 24), (300, 100), (1, 1)])
def test_sizes(loaded, columns, lines):
    edge, good, _ = loaded
    with Terminal(edge, "--by", "preview", columns=columns, lines=lines) as terminal:
        fits = lambda screen: len(screen) <= lines and all(len(line) <= columns for line in screen)  # noqa: E731
        screen = terminal.until(lambda screen: len(screen) >= min(lines, 5) or lines < 5)
        assert fits(screen), screen
        if (columns, lines) == (80, 24):
            row = next(line for line in screen if line.startswith(f"box-{good.port}"))
            assert len(row.split()) == 10, row
        terminal.resize(120, 30)
        columns, lines = 120, 30
        screen = terminal.until(lambda screen: any(line.startswith(f"box-{good.port}") for line in screen))
        assert fits(screen), screen
        terminal.send(b"q")
        assert terminal.ended() == 0


def test_an_edge_that_ends_meanwhile(make_edge):
    edge = make_edge()
    with Terminal(edge) as terminal:
        terminal.until(lambda lines: any("boxedge top" in line for line in lines))
        edge.stop()
        terminal.until(lambda lines: any("the edge is not running" in line for line in lines))
        terminal.send(b"q")
        assert terminal.ended() == 0


def test_errors(make_edge):
    edge = make_edge()
    for wrong in (["--by", "x"], ["--sort", "x"], ["-n", "0"], ["-n", "1001"], ["more"]):
        done = edge.command("top", *wrong, check=False)
        assert done.returncode == 2 and done.stderr, wrong
    done = edge.command("top", "--once")
    assert "boxedge top" not in done
    edge.stop()
    for words in ([], ["--once"], ["--json"]):
        done = edge.command("top", *words, check=False)
        assert done.returncode == 1 and "not running" in done.stderr
    # In a terminal, too: nothing is drawn.
    with Terminal(edge) as terminal:
        assert terminal.process.wait(LONG) == 1
        assert termios.tcgetattr(terminal.secondary) == terminal.before
        while terminal._read(time.monotonic() + 0.2):  # pylint: disable=protected-access
            pass
        assert "not running" in terminal.text and "\x1b[?1049h" not in terminal.text
