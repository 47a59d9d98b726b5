"""tests/run without a build, and without the means to build: its closing line, and the leftovers of failing
tests."""
import os
import shutil
import subprocess
import sys

import pytest

from harness import ROOT

# A separate network, whose `lo` no other test changes.
ALONE = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]


def addresses():
    """Prints the addresses of `lo`, for the end of a shell's command."""
    return "ip -o address show dev lo | sed 's/.*inet6* //; s/ .*//'"


@pytest.fixture
def tree(tmp_path):
    """A fresh copy of the sources, and a first folder of the path in which cmake fails."""
    shutil.copytree(ROOT, tmp_path / "tree", symlinks=True,
                    ignore=shutil.ignore_patterns("build", ".git", "node_modules", "__pycache__", ".pytest_cache"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/cmake").write_text("#!/bin/bash\necho \"$*: no such compiler\" >&2\nexit 1\n")
    (tmp_path / "bin/cmake").chmod(0o755)
    return tmp_path / "tree"


@pytest.mark.parametrize("part, build", [("build", "release"), ("unit", "release"), ("threads", "tsan"), ("e2e", "release"),
                                         ("e2e-asan", "asan"), ("bench", "release"), ("fuzz", None)])
def test_a_part_whose_build_fails(tree, part, build):
    """It reports that, and ends with the summary: no test of it runs."""
    done = subprocess.run([tree / "tests/run", part], capture_output=True, text=True, check=False, timeout=120,
                          env={**os.environ, "PATH": f"{tree.parent}/bin:{os.environ['PATH']}"})
    assert done.returncode == 1 and done.stderr == "", done
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 passed, 1 failed", done.stdout
    assert lines[-2] == f"   failed: {f'build-{build}' if build else part}", done.stdout
    if build:
        assert f"--preset {build} -DBOXEDGE_TESTS=ON: no such compiler" in done.stdout
    assert [line for line in lines if line.startswith("== ")] == [f"== {f'build-{build}' if build else part}", "== summary"]


def test_parts_that_are_none(tree):
    done = subprocess.run([tree / "tests/run", "unite"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and "no such part: unite" in done.stderr


def test_tests_that_cannot_run_leave_no_address(tmp_path):
    """Those of boxes at separate addresses, where no edge starts."""
    real = shutil.which("ip")
    (tmp_path / "ip").write_text(f'#!/bin/bash\necho "$*" >>{tmp_path}/calls\nexec {real} "$@"\n')
    (tmp_path / "ip").chmod(0o755)
    if subprocess.run([*ALONE, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no network of its own can be made here")
    before = subprocess.run([*ALONE, "bash", "-c", addresses()], capture_output=True, text=True, check=True).stdout
    tests = " ".join(f"tests/e2e/test_{name}.py" for name in ("wake", "story", "control_plane", "api_deletions"))
    done = subprocess.run(
        [*ALONE, "bash", "-c", f"{sys.executable} -m pytest -q -p no:cacheprovider -p no:xdist --timeout 60 --maxfail 12 {tests} >&2; "
         f"{addresses()}"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=200,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "BOXEDGE_BINARY": "/bin/false", "PYTHONDONTWRITEBYTECODE": "1"})
    assert "passed" not in done.stderr.splitlines()[-1], done.stderr[-2000:]
    assert done.stdout == before, done.stdout
    if os.geteuid() == 0:
        assert "address add" in (tmp_path / "calls").read_text()


def test_without_the_binary_no_test_begins():
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/e2e/test_wake.py"], cwd=ROOT,
                          capture_output=True, text=True, check=False, timeout=120,
                          env={**os.environ, "BOXEDGE_BINARY": "/none/boxedge", "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 2 and "/none/boxedge is not there: build it" in done.stdout + done.stderr, done
