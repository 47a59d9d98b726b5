"""`cmake --install`: the files and their places."""

import os
import re
import subprocess

import pytest

from harness import BINARY, ROOT

FILES = {
    "bin/boxedge", "lib/systemd/system/boxedge.service", "lib/systemd/system/boxedge.socket",
    "lib/sysusers.d/boxedge.conf", "lib/tmpfiles.d/boxedge.conf", "etc/logrotate.d/boxedge",
    "libexec/boxedge/hand-over", "share/man/man1/boxedge.1", "share/man/man5/boxedge.yaml.5",
    "share/bash-completion/completions/boxedge", "share/zsh/site-functions/_boxedge",
    "share/fish/vendor_completions.d/boxedge.fish", "share/doc/boxedge/examples/boxedge.yaml",
    "share/doc/boxedge/examples/without-process-boxes.conf", "share/doc/boxedge/examples/grafana/boxedge.json",
    "share/doc/boxedge/examples/prometheus/boxedge.rules.yaml", "share/doc/boxedge/examples/prometheus/prometheus.yaml",
}
PROGRAMS = {"bin/boxedge", "libexec/boxedge/hand-over"}


def run(*arguments, **variables):
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False, timeout=120,
                          env={**os.environ, **variables})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A build folder with the binary under test, which is not built again."""
    folder = tmp_path_factory.mktemp("build")
    run("cmake", "-S", ROOT, "-B", folder, f"-DBOXEDGE_PREBUILT={BINARY}")
    run("cmake", "--build", folder)
    return folder


@pytest.fixture(scope="module", params=["/usr", "/opt/edge"])
def installed(request, build, tmp_path_factory):
    """(the root of the installed files, the prefix)"""
    root = tmp_path_factory.mktemp("root")
    run("cmake", "--install", build, "--prefix", request.param, DESTDIR=str(root))
    return root, request.param


def test_every_file_has_its_place(installed):
    root, prefix = installed
    below = root / prefix[1:]
    names = {str(path.relative_to(below)) for path in root.rglob("*") if not path.is_dir()}
    documents = {name for name in names if name.startswith("share/doc/boxedge/") and "/examples/" not in name}
    assert names - documents == FILES
    in_tree = {f"share/doc/boxedge/{path.relative_to(ROOT / 'docs')}" for path in (ROOT / "docs").rglob("*")
               if path.suffix in (".md", ".yaml")}
    assert documents == in_tree | {f"share/doc/boxedge/{name}" for name in ("README.md", "CHANGELOG.md", "SECURITY.md")}
    for name in names:
        assert (below / name).stat().st_mode & 0o777 == (0o755 if name in PROGRAMS else 0o644), name


def test_the_unit_names_the_prefix(installed):
    root, prefix = installed
    unit = (root / prefix[1:] / "lib/systemd/system/boxedge.service").read_text(encoding="utf-8")
    assert re.findall(r"^Exec\w+=-?(\S+/boxedge) ", unit, re.M) == [f"{prefix}/bin/boxedge"] * 4
    sockets = (root / prefix[1:] / "lib/systemd/system/boxedge.socket").read_text(encoding="utf-8")
    for text in (unit, sockets):
        assert f"Documentation=file://{prefix}/share/doc/boxedge/operations.md" in text
        assert not re.search(r"^[^#].*/usr/local", text, re.M)


def test_what_is_installed_runs(installed):
    root, prefix = installed
    below = root / prefix[1:]
    assert run(below / "bin/boxedge", "version").startswith("boxedge ")
    example = below / "share/doc/boxedge/examples/boxedge.yaml"
    assert "no errors" in run(below / "bin/boxedge", "check", "-c", example, "--elsewhere")
    run("sh", "-n", below / "libexec/boxedge/hand-over")


@pytest.mark.skipif(os.geteuid() != 0, reason="root makes users, and gives directories to them")
def test_the_user_comes_from_its_entry(installed, tmp_path):
    root, prefix = installed
    for name in ("etc", "usr/lib"):
        (tmp_path / name).mkdir(parents=True)
    run("systemd-sysusers", f"--root={tmp_path}", root / prefix[1:] / "lib/sysusers.d/boxedge.conf")
    assert re.search(r"^boxedge:.*:/var/lib/boxedge:/usr/sbin/nologin$", (tmp_path / "etc/passwd").read_text(), re.M)
    run("systemd-tmpfiles", "--create", f"--root={tmp_path}", root / prefix[1:] / "lib/tmpfiles.d/boxedge.conf")
    assert (tmp_path / "var/log/boxedge").is_dir()
