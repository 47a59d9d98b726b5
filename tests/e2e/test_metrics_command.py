"""`boxedge metrics`: the metrics of the running edge on stdout."""

import re
import subprocess

import harness
import pytest
from harness import PATIENCE


def test_printed(edge):
    assert re.search(r"^boxedge_worker_up\{worker=\"0\"\} 1$", edge.command("metrics"), re.M)


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--address", "::"], ["--colour"], ["now"]])
def test_wrong_words(arguments):
    done = subprocess.run([str(harness.BINARY), "metrics", *arguments], capture_output=True, text=True, check=False,
                          timeout=PATIENCE)
    assert done.returncode == 2 and done.stdout == "" and "boxedge metrics" in done.stderr
