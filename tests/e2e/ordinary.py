"""An ordinary user for tests that may run as root: a home of its own, and the binary where that user can run it."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import BINARY, PATIENCE, SLOW

UID = 65534 if os.geteuid() == 0 else os.geteuid()


class Ordinary:
    """Runs the binary as an ordinary user, with HOME and all of XDG below a new directory."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="be-", dir="/tmp"))
        self.home = self.directory / "home"
        self.runtime = self.directory / "run"
        self.binary = self.directory / "boxedge"
        shutil.copy2(BINARY, self.binary)
        self.binary.chmod(0o755)
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith(("XDG_", "BOXEDGE_")) and name not in ("SUDO_USER", "MAIL")}
        self.env |= {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime), "LANG": "C.UTF-8"}
        for folder in (self.home, self.runtime):
            folder.mkdir(mode=0o700)
            os.chown(folder, UID, -1)
        os.chown(self.directory, UID, -1)
        self.directory.chmod(0o755)

    def folder(self, name):
        path = self.directory / name
        path.mkdir()
        os.chown(path, UID, -1)
        return path

    def popen(self, *arguments, **more):
        user = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.Popen([str(self.binary), *map(str, arguments)], env=self.env | more.pop("env", {}), **user,
                                **more)

    def run(self, *arguments, **more):
        with self.popen(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                        **more) as process:
            try:
                out, err = process.communicate(timeout=PATIENCE * SLOW)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)
