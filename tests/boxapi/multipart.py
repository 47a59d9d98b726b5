"""multipart/form-data (RFC 7578), part by part as it arrives: a part of any size takes the same memory."""

import email.message
import email.parser

from .errors import Refusal

PIECE = 1 << 20
HEAD_MAX = 16 * 1024


class Multipart:
    """`body` has read(n): up to n bytes, none at the end. `content_type` is the field of the request."""

    def __init__(self, body, content_type):
        parsed = email.message.Message()
        parsed["Content-Type"] = content_type or ""
        boundary = parsed.get_boundary()
        if parsed.get_content_type() != "multipart/form-data" or not boundary or len(boundary) > 70:
            raise Refusal(400, "An upload is multipart/form-data with a boundary.")
        self._delimiter = b"\r\n--" + boundary.encode("latin-1")
        self._body = body
        self._buffer = b"\r\n"  # so that the first delimiter looks like all others

    def parts(self):
        """Yields (name, pieces): the field's name, and an iterator over its bytes, which is used up before
        the next."""
        for _ in self._pieces():
            pass  # a preamble
        while (after := self._take(2)) != b"--":
            if after != b"\r\n":
                raise _broken()
            name = self._name()
            pieces = self._pieces()
            yield name, pieces
            for _ in pieces:
                pass

    def _name(self):
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_MAX or not self._more():
                raise _broken()
        head = email.parser.BytesParser().parsebytes(self._buffer[:end])
        self._buffer = self._buffer[end + 4:]
        name = head.get_param("name", header="Content-Disposition")
        if not isinstance(name, str):
            raise Refusal(400, "A part of the upload has no name.")
        return name

    def _pieces(self):
        """The bytes before the next delimiter; the delimiter is consumed."""
        keep = len(self._delimiter) - 1
        while (at := self._buffer.find(self._delimiter)) < 0:
            ready = len(self._buffer) - keep
            if ready > 0:
                yield self._buffer[:ready]
                self._buffer = self._buffer[ready:]
            if not self._more():
                raise _broken()
        if at:
            yield self._buffer[:at]
        self._buffer = self._buffer[at + len(self._delimiter):]

    def _take(self, count):
        while len(self._buffer) < count:
            if not self._more():
                raise _broken()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _more(self):
        data = self._body.read(PIECE)
        self._buffer += data
        return bool(data)


def _broken():
    return Refusal(400, "The upload ended in the middle of a part, or is no multipart/form-data.")
