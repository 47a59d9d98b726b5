"""The apps of the drill, in a separate process: prints the ports of an HTTP app and of a WebSocket app that
echoes (tests/e2e/origins.py), and serves until its standard input ends."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from origins import HttpOrigin, WebSocketOrigin  # noqa: E402  (after the path is set)

with HttpOrigin(record=False) as http, WebSocketOrigin() as echo:
    print(http.port, echo.port, flush=True)
    sys.stdin.read()
