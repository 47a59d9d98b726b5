"""Files of a box. Callers name them by the paths that a box shows (/workspace/home/...). On this machine they
lie in the box's directory, which no path and no link can leave."""

import base64
import binascii
import datetime
import os
import pathlib
import shutil
import stat

from .errors import Refusal

HOME = "/workspace/home"


class Files:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()

    # ---- paths

    def locate(self, path):
        """The path on this machine of the file of that name, whether or not it exists."""
        if not isinstance(path, str) or "\0" in path:
            raise Refusal(400, "The path of a file is missing.")
        inside = path[len(HOME):].lstrip("/") if path == HOME or path.startswith(HOME + "/") else path
        if inside.startswith("/"):
            raise Refusal(400, f"The path {path} does not lie below {HOME}.")
        found = (self.directory / inside).resolve()
        if not found.is_relative_to(self.directory):
            raise Refusal(400, f"The path {path} leads out of {HOME}.")
        return found

    def existing(self, path):
        found = self.locate(path)
        if not found.exists():
            raise Refusal(404, f"There is no file {path}.")
        return found

    def shown(self, found):
        """The path that callers know a file by."""
        inside = found.relative_to(self.directory).as_posix()
        return HOME if inside == "." else f"{HOME}/{inside}"

    def translate(self, argument):
        """An argument of a command, with the box's paths replaced by this machine's."""
        return argument.replace(HOME, str(self.directory))

    # ---- operations

    def write(self, path, content, encoding=None):
        if not isinstance(content, str):
            raise Refusal(400, "The content of a file is a string.")
        if encoding not in (None, "utf8", "utf-8", "base64"):
            raise Refusal(400, f"There is no encoding {encoding}.")
        try:
            data = base64.b64decode(content, validate=True) if encoding == "base64" else content.encode()
        except binascii.Error:
            raise Refusal(400, "The content is not base64.") from None
        target = self._for_writing(path)
        target.write_bytes(data)

    def read(self, path, encoding=None, offset=0, length=None):
        found = self.existing(path)
        if found.is_dir():
            raise Refusal(400, f"{path} is a directory.")
        with found.open("rb") as file:
            file.seek(offset)
            data = file.read(-1 if length is None else length)
        return base64.b64encode(data).decode() if encoding == "base64" else data.decode("utf-8", "replace")

    def list(self, path):
        found = self.existing(path)
        if not found.is_dir():
            raise Refusal(400, f"{path} is no directory.")
        return [{"name": entry.name, "path": self.shown(entry), "size": entry.lstat().st_size,
                 "is_dir": entry.is_dir(), "mod_time": _time(entry.lstat())} for entry in sorted(found.iterdir())]

    def stat(self, path):
        state = self.existing(path).stat()
        kind = "directory" if stat.S_ISDIR(state.st_mode) else "file" if stat.S_ISREG(state.st_mode) else "other"
        return {"type": kind, "size": state.st_size, "mod_time": _time(state), "inode": state.st_ino,
                "version": f"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"}

    def make_directory(self, path, parents):
        target = self.locate(path)
        try:
            target.mkdir(parents=parents, exist_ok=parents)
        except OSError as error:
            raise Refusal(400, f"The directory {path} cannot be made: {error.strerror}.") from None

    def rename(self, path, to):
        self.existing(path).rename(self._for_writing(to))

    def remove(self, path, recursive):
        found = self.existing(path)
        if not found.is_dir():
            found.unlink()
        elif recursive and found != self.directory:
            shutil.rmtree(found)
        else:
            raise Refusal(400, f"{path} is a directory.")

    def open(self, path):
        """A file for reading; the caller closes it."""
        found = self.existing(path)
        if not found.is_file():
            raise Refusal(400, f"{path} is no file.")
        return found.open("rb")

    def take(self, spooled, path):
        """A file that was spooled on the same file system becomes the file of that name."""
        os.replace(spooled, self._for_writing(path))

    def _for_writing(self, path):
        target = self.locate(path)
        if target.is_dir():
            raise Refusal(400, f"{path} is a directory.")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refusal(400, f"{path} cannot be written: {error.strerror}.") from None
        return target


def _time(state):
    return datetime.datetime.fromtimestamp(state.st_mtime, datetime.timezone.utc).isoformat()
