"""Previews that the configuration declares: made once, with secrets in a file, and never changed."""

import base64
import json
import pathlib
import stat

import pytest
from harness import PORTS, Edge
from test_process_boxes import app


class Declared(Edge):
    def __init__(self, directory, box):
        super().__init__(directory, kinds=("plain",), config={"processes": [box]})

    def secret_file(self, port, box="web"):
        return pathlib.Path(self.config["state_dir"], "previews", f"{box}-{port}")

    def status(self, port, *fields):
        return self.get(self.host(port, "web"), fields=fields).status

    def redeclare(self, previews):
        self.config["processes"][0]["previews"] = previews
        self.write_config()
        return self.command("reload")

    def declared(self):
        rows = json.loads(self.command("preview", "list", "--json"))["previews"]
        return {row["port"]: "bearer" if row["bearer_token"] else "basic" if row["basic_auth"] else "public"
                for row in rows}


@pytest.fixture
def port():
    return PORTS.take()


def test_a_declared_preview_has_its_secret_in_a_file(tmp_path, port):
    with Declared(tmp_path, app(port, previews=[{"port": port}])) as edge:
        file = edge.secret_file(port)
        token = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert edge.status(port) == 401
        assert edge.status(port, f"Authorization: Bearer {token}") == 200
        assert token not in edge.command("preview", "list", "--json")
        # A restart and a reload leave it alone.
        edge.stop()
        edge.start()
        edge.command("reload")
        assert file.read_text().strip() == token
        assert edge.status(port, f"Authorization: Bearer {token}") == 200
        assert token not in (tmp_path / "boxedge.yaml").read_text()


def test_basic_and_public_ones(tmp_path, port):
    other = PORTS.take()
    previews = [{"port": port, "access": "basic"}, {"port": other, "access": "public"}]
    with Declared(tmp_path, app(port, ports=[port, other], previews=previews)) as edge:
        user, password = edge.secret_file(port).read_text().strip().split(":")
        assert not edge.secret_file(other).exists()
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        assert edge.status(port) == 401
        assert edge.status(port, f"Authorization: Basic {basic}") == 200
        assert edge.declared() == {port: "basic", other: "public"}


def test_a_reload_makes_one_and_takes_none_away(tmp_path, port):
    with Declared(tmp_path, app(port)) as edge:
        assert edge.declared() == {}
        edge.redeclare([{"port": port}])
        edge.wait_until(lambda: edge.declared() == {port: "bearer"}, what="the declared preview")
        token = edge.secret_file(port).read_text().strip()
        # It is no longer declared, then declared as public: it stays as it is.
        edge.redeclare([])
        edge.redeclare([{"port": port, "access": "public"}])
        edge.said("stays as it is")
        assert edge.declared() == {port: "bearer"}
        assert edge.status(port) == 401
        assert edge.status(port, f"Authorization: Bearer {token}") == 200
        # Deleted by hand, it is made as declared.
        edge.command("preview", "delete", "web", port)
        edge.command("reload")
        edge.wait_until(lambda: edge.declared() == {port: "public"}, what="the public preview")


def test_one_of_a_person_stays(tmp_path, port):
    with Declared(tmp_path, app(port)) as edge:
        made = json.loads(edge.command("preview", "create", "web", port, "--basic", "--json"))
        edge.redeclare([{"port": port}])
        edge.said("stays as it is")
        assert edge.declared() == {port: "basic"} and made["password"]
        assert not edge.secret_file(port).exists()


def test_without_a_file_there_is_no_preview(tmp_path, port):
    """A secret that nobody could read would lock everyone out."""
    with Declared(tmp_path, app(port)) as edge:
        directory = edge.secret_file(port).parent
        directory.mkdir(mode=0o700)
        edge.secret_file(port).mkdir()
        edge.secret_file(port).joinpath("x").touch()
        edge.redeclare([{"port": port}])
        edge.said(f"the declared preview web-{port} is not made")
        assert edge.declared() == {}


def test_errors_have_their_line(tmp_path, port):
    with Declared(tmp_path, app(port)) as edge:
        edge.config["processes"][0]["previews"] = [{"port": 1}]
        edge.write_config()
        refused = edge.command("reload", check=False)
        assert refused.returncode == 1 and "is no port of this box" in refused.stderr + refused.stdout
