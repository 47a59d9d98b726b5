"""Programs for the browser (acts.mjs) that let their test act in between."""

import json
import os
import subprocess

from harness import SLOW
from quiet_network import without_netlink
from test_chromium import HERE


def browse(script, plan, home, acts):
    """Runs `script` with `plan` and HOME; calls acts[X] when its output says "at X". Its last line, which is
    JSON."""
    acts, last = dict(acts), ""
    with subprocess.Popen(["node", script, json.dumps(plan)], cwd=HERE, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "HOME": str(home)},
                          preexec_fn=without_netlink) as node:
        try:
            for last in node.stdout:
                if last.startswith("at "):
                    acts.pop(last.split()[1])()
                    node.stdin.write("on\n")
                    node.stdin.flush()
            assert node.wait(60 * SLOW) == 0, node.stderr.read()
        finally:
            node.kill()
    assert not acts, f"{list(acts)} never came"
    return json.loads(last)
