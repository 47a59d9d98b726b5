"""h2spec (github.com/summerwind/h2spec, through the Go module proxy) against the edge, in full and strict."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import SLOW

H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec"
# h2spec/go.mod has its version and its dependencies.
MODULE = pathlib.Path(__file__).parent / "h2spec"


@pytest.fixture(name="h2spec", scope="module")
def _h2spec(tmp_path_factory):
    """The program: H2SPEC names it, or Go builds it (the module cache makes the second time quick)."""
    if os.environ.get("H2SPEC"):
        return pathlib.Path(os.environ["H2SPEC"])
    if shutil.which("go") is None:
        pytest.skip("h2spec needs Go (or set H2SPEC to a built one)")
    folder = tmp_path_factory.mktemp("h2spec")
    shutil.copytree(MODULE, folder, dirs_exist_ok=True)
    try:
        done = subprocess.run(["go", "build", "-mod=mod", "-o", "h2spec", H2SPEC], cwd=folder, capture_output=True, text=True,
                              timeout=200, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("h2spec: Go's packages did not come within 200 s")
    if done.returncode != 0:
        pytest.skip(f"h2spec cannot be built, Go's packages are out of reach: {done.stderr[-300:]}")
    return folder / "h2spec"


def namespace_with(hosts):
    """The words that run a program with `hosts` as /etc/hosts, or None if this system does not allow it."""
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    for flags in ("-m", "-rm"):
        words = ["unshare", flags, "sh", "-c", script, str(hosts)]
        try:
            if subprocess.run([*words, "true"], capture_output=True, timeout=20, check=False).returncode == 0:
                return words
        except OSError:
            return None
    return None


def test_h2spec(edge, preview, h2spec, tmp_path):
    """Against a preview if its name can be made to resolve, else against the address (answers are 421
    then)."""
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {preview}\n")
    words = namespace_with(hosts)
    command = [*(words or []), str(h2spec), "-h", preview if words else "127.0.0.1", "-p", str(edge.port["tls"]), "-t",
               "-k", "--strict", "-o", str(2 * SLOW)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    found = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert found, f"{done.stdout[-2000:]}{done.stderr}"
    tests, passed, skipped, failed = map(int, found.groups())
    failures = done.stdout[done.stdout.find("Failures:"):] if failed else ""
    # The edge answers 421 immediately and ends such streams itself; h2spec's next frame on one may arrive
    # before or after that, and only before is it an error to be reported (RFC 9113 section 5.1).
    if not words:
        early = len(re.findall(r"Actual: DATA Frame \(length:\d+, flags:0x01", failures))
        passed, failed = passed + early, failed - early
    assert failed == 0 and skipped == 0, failures
    assert tests == passed and tests >= 146
