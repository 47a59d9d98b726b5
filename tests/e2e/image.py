"""The image of deploy/Dockerfile for tests, in two forms: `import_quick` puts the binary under test and its libraries
in place with the settings of the Dockerfile's last stage, in seconds and without a network; `build` runs the Dockerfile
itself over a base image from debootstrap."""

import io
import os
import pathlib
import re
import subprocess
import tarfile

from harness import BINARY, ROOT

DOCKERFILE = ROOT / "deploy/Dockerfile"
CONFIG = ROOT / "deploy/container.yaml"
NAME = "localhost/boxedge:test"
# The commands of the last stage.
USERS = ("root:x:0:0:root:/root:/usr/sbin/nologin\nboxedge:x:10001:10001::/var/lib/boxedge:/usr/sbin/nologin\n"
         "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")
GROUPS = "root:x:0:\nboxedge:x:10001:\nnogroup:x:65534:\n"
OPEN = ("run", "tmp", "var/lib/boxedge")
# `podman import` takes no HEALTHCHECK, and EXPOSE changes nothing here.
SETTINGS = ("USER", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD")


def last_stage():
    """[(instruction, its text)] from the last FROM on."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.M).replace("\\\n", "")
    lines = re.findall(r"^([A-Z]+) +(.*)$", text, re.M)
    start = max(i for i, (word, _) in enumerate(lines) if word == "FROM")
    return lines[start:]


def base_of_dockerfile():
    return last_stage()[0][1]


def _libraries():
    listed = subprocess.run(["ldd", BINARY], check=True, capture_output=True, text=True, timeout=60).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def _add_text(tar, name, text):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), 0o644
    tar.addfile(entry, io.BytesIO(text.encode()))


def _add_folder(tar, name, mode=0o755):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def import_quick(podman):
    archive = podman.directory / "edge.tar"
    with tarfile.open(archive, mode="w") as tar:
        for name in ("dev", "proc", "sys", "etc", "etc/boxedge", "usr", "usr/bin", "var", "var/lib"):
            _add_folder(tar, name)
        for name in OPEN:
            _add_folder(tar, name, 0o1777)
        _add_text(tar, "etc/passwd", USERS)
        _add_text(tar, "etc/group", GROUPS)
        tar.add(CONFIG, "etc/boxedge/boxedge.yaml")
        tar.add(BINARY, "usr/bin/boxedge")
        for path in _libraries():
            tar.add(os.path.realpath(path), path[1:])
    changes = [f"{word} {text}" for word, text in last_stage() if word in SETTINGS]
    podman.run("import", *(option for change in changes for option in ("-c", change)), str(archive), NAME)
    archive.unlink()


def build(podman, base):
    """`base`: a folder with a Debian 12, or "debootstrap" to make one."""
    folder = pathlib.Path(base)
    if base == "debootstrap":
        folder = podman.directory / "debian"
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", folder], check=True, timeout=1200)
    with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run([*podman.command, "import", "-", base_of_dockerfile()], stdin=tar.stdout, env=podman.env,
                       check=True, timeout=600)
    podman.run("build", "--format", "docker", "--network", "host", "--ulimit", "nofile=4096:4096", "--ulimit",
               "nproc=4096:4096", "--security-opt", "seccomp=unconfined", "-t", NAME, "-f", str(DOCKERFILE), str(ROOT),
               timeout=3000)
