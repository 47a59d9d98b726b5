"""deploy/packages without the right to install: a message, and no leftovers."""

import os
import shutil
import signal
import subprocess

import pytest

from harness import ROOT

TOOLS = ("bash", "tr", "mktemp", "env", "cat", "rm")


@pytest.fixture
def run(tmp_path):
    """Runs it as an ordinary user of a machine that has no package yet; `sudo` is that command's text."""
    tools, scratch = tmp_path / "bin", tmp_path / "tmp"
    tools.mkdir()
    scratch.mkdir()
    for name in TOOLS:
        os.symlink(shutil.which(name), tools / name)

    def make(name, text):
        (tools / name).write_text("#!/bin/bash\n" + text)
        (tools / name).chmod(0o755)

    make("dpkg-query", "exit 1\n")
    make("sleep", "")  # between two tries
    make("id", '[ "$1" = -u ] && echo 1000 || echo somebody\n')

    def packages(sudo=None, **instead):
        if sudo is not None:
            make("sudo", sudo)
        for name, text in instead.items():
            name = name.replace("_", "-")
            (tools / name).unlink()
            make(name, text)
        done = subprocess.run(["bash", ROOT / "deploy/packages", "install", "build"], capture_output=True, text=True,
                              check=False, env={"PATH": str(tools), "TMPDIR": str(scratch)}, timeout=60,
                              start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        assert not list(scratch.iterdir())
        return done

    return packages


def test_without_sudo(run):
    done = run()
    assert done.returncode != 0 and "there is no sudo" in done.stderr and "libh2o-evloop-dev" in done.stderr


def test_where_sudo_refuses(run):
    done = run("echo 'somebody is not in the sudoers file' >&2\nexit 1\n")
    assert done.returncode != 0
    assert "not in the sudoers" in done.stderr and "sudo refuses somebody" in done.stderr


def test_where_apt_fails_its_words_are_shown(run):
    done = run('[[ $* = "env true" ]] || { echo "E: no such mirror"; exit 100; }\n')
    assert done.returncode != 0 and "no such mirror" in done.stderr and "apt could not install" in done.stderr


def test_interrupted_in_apt(run):
    """apt has a separate status for that."""
    done = run('[[ $* = "env true" ]] || { echo E: interrupted; kill -INT 0; exit 100; }\n')
    assert done.returncode == 130 and "E:" not in done.stderr


def test_interrupted_as_it_makes_its_file(run):
    done = run("", mktemp=f'made=$({shutil.which("mktemp")} "$@")\nkill -INT 0\necho "$made"\n')
    assert done.returncode == 130


def test_interrupted_as_it_looks(run):
    """The command that looks ignores it: still nothing is installed."""
    done = run("echo called >&2\n", dpkg_query="trap '' INT\nkill -INT 0\nexit 1\n")
    assert done.returncode == 130 and "called" not in done.stderr
