"""Shared parts of the tests of access over the admin API: an API without leftover blocks, credentials, and
the places of secrets."""

import base64
import pathlib

import pytest

from admin_api import Admin

KEY = base64.b64encode(b"0123456789abcdef")


@pytest.fixture
def admin(edge):
    connection = Admin(edge.admin_socket)
    yield connection
    for block in connection.call("GET", "/v1/blocks")[2]["blocks"]:
        connection.call("DELETE", f"/v1/blocks/{block['kind']}/{block['value']}")
    connection.close()


def bearer(token):
    return f"Authorization: Bearer {token}"


def found_in_memory(pid, needles):
    """Those in memory that the process may write, except its stack, which is soon overwritten."""
    found = set()
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            low, high = (int(part, 16) for part in line.split()[0].split("-"))
            if not line.split()[1].startswith("rw") or line.endswith("[stack]") or high - low > 1 << 30:
                continue
            try:
                memory.seek(low)
                held = memory.read(high - low)
            except OSError:
                continue
            found |= {needle for needle in needles if needle in held}
    return found


def block(admin, kind, value):
    status, _, body = admin.call("POST", "/v1/blocks", {"kind": kind, "value": value})
    assert status == 201, body
    return body
