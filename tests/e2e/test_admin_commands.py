"""The commands that use the admin API: their output, their search for the edge, and their rights."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess

import pytest

import harness
from harness import SLOW


def test_commands(edge):
    out = edge.command("preview", "create", "box", "4100", "--host-header", "localhost")
    assert out == f"https://box-4100.{harness.DOMAIN}:{edge.port['tls']}/\n"
    assert re.search(r"^box +4100 +public +http1 +localhost .* https://box-4100\.", edge.command("preview", "list"), re.M)
    assert json.loads(edge.command("preview", "create", "box", "4100", "--json"))["host_header"] == "public"
    edge.command("preview", "delete", "box", "4100")
    missing = edge.command("preview", "delete", "box", "4100", check=False)
    assert missing.returncode == 1 and "no preview box-4100" in missing.stderr
    unknown = edge.command("preview", "create", "unknown-box", "1", check=False)
    assert unknown.returncode == 0 and "unknown-box" in unknown.stderr
    edge.command("preview", "delete", "unknown-box", "1")


@pytest.mark.parametrize(
    "arguments",
    [
        ("preview",),
        ("preview", "make"),
        ("preview", "create", "box"),
        ("preview", "create", "box", "0"),
        ("preview", "create", "box", "http"),
        ("preview", "create", "Box", "1"),
        ("preview", "create", "box", "1", "2"),
        ("preview", "list", "--box", "no/box"),
        ("preview", "list", "--colour"),
        ("preview", "delete", "box", "1", "--socket"),
        ("box",),
        ("status", "now"),
        ("reload", "--json"),
    ],
)
def test_wrong_command_lines(arguments):
    done = subprocess.run([str(harness.BINARY), *arguments], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2 and done.stderr and not done.stdout


@pytest.mark.parametrize("arguments, said", [
    (("preview",), "boxedge preview: the subcommand is missing: create, update, list, delete or link"),
    (("preview", "make"), 'boxedge preview: unknown subcommand "make": it takes create, update, list, delete or link'),
    (("preview", "create"), "boxedge preview create: BOX and PORT are missing"),
    (("preview", "delete", "box"), "boxedge preview delete: PORT is missing"),
    (("preview", "create", "box", "1", "2"), 'boxedge preview create: "2" is not expected'),
    (("preview", "list", "box"), 'boxedge preview list: "box" is not expected'),
    (("box", "logs"), "boxedge box logs: BOX is missing"),
    (("block", "preview"), "boxedge block preview: BOX and PORT are missing"),
    (("unblock", "cidr"), "boxedge unblock cidr: NETWORK is missing"),
    (("key", "set-plan", "a"), "boxedge key set-plan: PLAN is missing"),
    (("upstream", "drain", "api"), "boxedge upstream drain: SERVER is missing"),
    (("status", "now"), 'boxedge status: "now" is not expected'),
    (("reload", "now"), 'boxedge reload: "now" is not expected'),
    (("upgrade", "now"), 'boxedge upgrade: "now" is not expected'),
    (("version", "now"), 'boxedge version: "now" is not expected'),
    (("check",), "boxedge check: -c FILE is missing"),
    (("check", "-c"), "boxedge check: -c needs a value"),
    (("check", "-x"), 'boxedge check: "-x" is not expected'),
    (("check", "-c", "a", "b"), 'boxedge check: "b" is not expected'),
    (("check", "--print-default", "a"), 'boxedge check: "a" is not expected'),
    (("check", "--print-nothing"), 'boxedge check: "--print-nothing" is not expected'),
    (("demo-app",), 'boxedge demo-app: "--port" is missing'),
    (("demo-app", "--port"), 'boxedge demo-app: "--port" needs a value'),
    (("demo-app", "--port", "x"), 'boxedge demo-app: "x" is not a port'),
    (("demo-app", "--colour"), 'boxedge demo-app: "--colour" is not expected'),
])
def test_the_wrong_word_is_named_before_the_usage(arguments, said):
    done = subprocess.run([str(harness.BINARY), *arguments], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2 and not done.stdout
    first, _, rest = done.stderr.partition("\n")
    assert first == said and "usage: boxedge" in rest


def test_status_shows_paths_that_can_be_opened(make_edge):
    edge = make_edge(start=False)
    whole = edge.config_path
    edge.config_path = whole.relative_to(edge.directory)  # the edge's own directory
    cwd = os.getcwd()
    os.chdir(edge.directory)
    try:
        edge.start()
        assert f"configuration {whole} " in edge.command("status")
    finally:
        os.chdir(cwd)


@pytest.mark.parametrize("command", ["preview", "box", "status", "reload", "upgrade", "drain", "version", "demo-app"])
def test_help(command):
    done = subprocess.run([str(harness.BINARY), command, "--help"], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.startswith(f"usage: boxedge {command}") and not done.stderr


def test_finding_the_edge(edge, tmp_path):
    def run(*arguments, **env):
        return subprocess.run(
            [str(harness.BINARY), "preview", "list", "--json", *arguments], capture_output=True, text=True, check=False,
            timeout=20, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), **env},
        )

    assert run("--socket", str(edge.admin_socket)).returncode == 0
    assert run("-c", str(edge.config_path)).returncode == 0
    assert run(BOXEDGE_SOCKET=str(edge.admin_socket)).returncode == 0
    assert run(f"--socket={edge.admin_socket}", BOXEDGE_SOCKET="/nonexistent").returncode == 0
    absent = run("--socket", str(tmp_path / "none.sock"))
    assert absent.returncode == 1 and "not running" in absent.stderr and "boxedge run" in absent.stderr
    absent = run("-c", str(tmp_path / "none.yaml"))
    assert absent.returncode == 1 and "none.yaml" in absent.stderr
    # A socket that no process serves any more, and another program that answers there.
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    dead.close()
    assert "not running" in run("--socket", str(tmp_path / "dead.sock")).stderr
    # Without a hint, the message names every place that was tried; an edge of this machine may be there.
    tried = run(BOXEDGE_SOCKET="")
    assert tried.returncode == 0 or "/run/boxedge/admin.sock" in tried.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_others_may_not_use_the_socket(edge):
    os.chmod(edge.run_dir, 0o755)
    # Copied, because other users may not be able to enter the folder of this tree.
    binary = shutil.copy(harness.BINARY, edge.run_dir)
    done = subprocess.run(
        [binary, "status", "--socket", str(edge.admin_socket)], capture_output=True, text=True, check=False,
        timeout=20, user=65534, group=65534, extra_groups=[],
    )
    assert done.returncode == 1 and "may not use" in done.stderr
    assert os.stat(edge.admin_socket).st_mode & 0o777 == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_directory_that_may_not_be_made_says_so(edge):
    """Its absence is no reason."""
    binary = shutil.copy(harness.BINARY, edge.run_dir)
    config = edge.run_dir / "refused.yaml"
    config.write_text("preview_domain: a.example\npublic_port: 443\nlisteners: [{address: '127.0.0.1:1', kind: plain}]\n"
                      f"state_dir: {edge.run_dir}/sub/state\nrun_dir: {edge.run_dir}/sub/run\n")
    done = subprocess.run([binary, "run", "-c", str(config)], capture_output=True, text=True, check=False,
                          timeout=20, user=65534, group=65534, extra_groups=[])
    assert done.returncode == 1
    assert f"\"{edge.run_dir}/sub/state\" cannot be made: Permission denied" in done.stderr


def test_drain_command(make_edge):
    edge = make_edge(workers=1)
    edge.command("drain")
    assert edge.process.wait(15 * SLOW) == 0
    edge.kill()
