"""deploy/packages where it may install nothing: a sentence, and nothing left behind."""

import os
import shutil
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

    def packages(sudo=None):
        if sudo is not None:
            make("sudo", sudo)
        done = subprocess.run(["bash", ROOT / "deploy/packages", "install", "build"], capture_output=True, text=True,
                              check=False, env={"PATH": str(tools), "TMPDIR": str(scratch)}, timeout=60)
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


def test_interrupted(run):
    done = run('[[ $* = "env true" ]] || { kill -INT $PPID $$; }\n')
    assert done.returncode != 0
