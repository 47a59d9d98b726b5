"""The short form of the drill (tests/drill/run): an operator's events under mixed load cause only permitted
failures, and the drill finds failures."""

import json
import os
import re
import signal
import subprocess
import sys

from harness import BINARY, ROOT

# Under the limit of a test (tests/run), so that the drill can end its processes.
LIMIT_S = 200
ROW = re.compile(r"^\| (?!event )([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def drill(*options):
    """With --quick: the exit status of the drill, its output, and its table: event -> failures."""
    with subprocess.Popen([sys.executable, ROOT / "tests/drill/run", "--quick", "--binary", BINARY, *options],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}) as process:
        try:
            output = process.communicate(timeout=LIMIT_S)[0]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            output = process.communicate()[0]
            raise AssertionError(f"the drill did not end within {LIMIT_S} s:\n{output}") from None
    print(output)  # with a failure
    return process.returncode, output, dict(ROW.findall(output))


def test_reload_renewal_upgrade_and_deaths_fail_nothing_else(tmp_path):
    status, output, table = drill("--json", tmp_path / "drill.json")
    assert status == 0, output
    assert output.rstrip().endswith("boxedge kept every rule")
    for event in ("reload", "renewal", "upgrade", "`kill -9` of a worker", "`kill -9` of the controller"):
        assert any(event in title for title in table), f"no {event} in the table"
    # The rule lets the killed worker's own exchanges fail, and some must: the death met traffic.
    assert re.match(r"0 \(its own: .*WebSocket \d+", table.pop("`kill -9` of a worker"))
    assert set(table.values()) == {"0"}
    # The upgrade met every kind of traffic.
    done = json.loads((tmp_path / "drill.json").read_text())["results"]["upgrade-twice"]["boxedge"]["done"]
    kinds = {"fresh", "kept", "post", "h2", "upload", "slow", "sse", "stream", "websocket", "h2-websocket"}
    assert kinds <= done.keys() and ("process" in done) == (os.geteuid() == 0), done
    assert ("not known whose" in output) == (os.geteuid() != 0)


def test_failures_are_counted_and_named(tmp_path):
    """An upgrade that waits for nothing: WebSockets are closed and requests cut."""
    status, output, table = drill("--events", "upgrade-same", "--config", "{timeouts: {drain: 10ms, drain_tunnels: 0s}}",
                                  "--json", tmp_path / "failed.json")
    assert status == 1, output
    assert output.rstrip().endswith("boxedge failed in upgrade-same")
    assert list(table) == ["upgrade to the same program"]
    assert drill("--table", tmp_path / "failed.json")[2] == table
    found = dict(re.findall(r"(\w+) (\d+)", table.popitem()[1]))
    assert int(found.pop("WebSocket")) > 0
    assert int(found.pop("stream")) > 0
    assert found, "only WebSockets and streams without an end failed"
    assert "× websocket: Close 1012" in output
