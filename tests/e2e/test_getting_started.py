"""docs/getting-started.md, followed literally: each block of commands, run by a user who is not root, ends
with the page of the app in its box. Ports are replaced by free ones, and the test waits for each edge."""

import os
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from harness import BINARY, PATIENCE, PORTS, ROOT, SLOW

PAGE = (ROOT / "docs/getting-started.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n.*?^```sh\n(.*?)^```", PAGE, re.M | re.S))
RUN = "boxedge run -c edge.yaml &\n"
WAIT = "boxedge run -c edge.yaml 2> edge.log &\nEDGE=$!\n" \
       "until grep -q ': ready:' edge.log; do kill -0 $EDGE || { cat edge.log >&2; exit 1; }; sleep 0.1; done\n"
# Background processes end with the block; the edge first, and in order.
BEGIN = "set -eu\ntrap 'kill $EDGE; wait $EDGE || true; kill $(jobs -p) 2>/dev/null || true' EXIT\n"


def as_user():
    """The user is not root: then directories, rights and the command's user are as on the page."""
    return ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--"] if os.geteuid() == 0 else []


def runnable(block):
    """The block with free ports, which continues when the edge serves and the API answers."""
    ports = {}
    for port in re.findall(r"\b(?:8443|3000|900[01])\b", block):
        ports.setdefault(port, str(PORTS.take()))
    block = re.sub(r"\b(?:8443|3000|900[01])\b", lambda port: ports[port[0]], block)
    assert block.count(RUN) == 1
    if "9000" in ports:
        block = block.replace(RUN, f"until curl -s -o /dev/null http://127.0.0.1:{ports['9000']}/; do sleep 0.1; done\n{RUN}")
    return BEGIN + block.replace(RUN, WAIT).replace("curl -s ", "curl -sS ").replace("curl --cacert", "curl -sS --fail --cacert")


@pytest.mark.parametrize("section", ["A dev server on a laptop", "A control plane", "The API host"])
def test_commands_lead_to_a_page(section):
    if not subprocess.run(["hostname", "-I"], capture_output=True, check=True).stdout.split():
        pytest.skip("this machine has no address but loopback")
    home = tempfile.mkdtemp(prefix="be-start-", dir="/tmp")
    try:
        os.chmod(home, 0o777)
        os.mkdir(f"{home}/edge")
        os.chmod(f"{home}/edge", 0o777)
        os.mkdir(f"{home}/bin", 0o755)
        shutil.copy(BINARY, f"{home}/bin/boxedge")
        # The user may not be able to read the sources in their place.
        shutil.copytree(ROOT / "tests/boxapi", f"{home}/src/tests/boxapi", ignore=shutil.ignore_patterns("__pycache__"))
        with open(f"{home}/out", "w+b") as out:
            process = subprocess.Popen(
                [*as_user(), "bash", "-c", runnable(SECTIONS[section])], cwd=f"{home}/edge", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={"HOME": home, "PATH": f"{home}/bin:/usr/bin:/bin", "SRC": f"{home}/src", "PYTHONDONTWRITEBYTECODE": "1",
                     "CA": f"{home}/.local/state/boxedge/ca/ca.pem"})
            try:
                status = process.wait(2 * PATIENCE * SLOW)
            finally:
                end_group(process.pid)
                out.seek(0)
                text = out.read().decode(errors="replace")
                print(text)
        assert status == 0
        assert "Directory listing for /" in text
    finally:
        shutil.rmtree(home, ignore_errors=True)


def end_group(group):
    """No process of the block is left, however it ended."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
