"""An API upstream over TLS: which certificates count, the messages about others, and no byte in the clear."""

import json
import re
import shutil
import ssl
import subprocess

import pytest

from api_world import answer, api_config, call, error
from dataplane import metric
from h2origin import H2Origin
from harness import Edge, RawOrigin

NAME = "api.internal"


class Certificates:
    """An authority, and its certificates: `server` has the name and 127.0.0.1, `other` another name."""

    def __init__(self, directory):
        self.directory = directory
        self._run("req", "-x509", *self._key("ca"), "-days", "2", "-subj", "/CN=authority", "-out", self("ca.pem"))
        self._issue("server", f"DNS:{NAME},IP:127.0.0.1")
        self._issue("other", "DNS:other.internal,IP:127.0.0.2")
        self._issue("client", "DNS:edge.internal")

    def __call__(self, name):
        return str(self.directory / name)

    @staticmethod
    def _run(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def _key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self(f"{name}.key")]

    def _issue(self, name, names):
        (self.directory / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        self._run("req", *self._key(name), "-subj", f"/CN={name}", "-out", self(f"{name}.csr"))
        self._run("x509", "-req", "-in", self(f"{name}.csr"), "-CA", self("ca.pem"), "-CAkey", self("ca.key"),
                  "-CAcreateserial", "-days", "2", "-extfile", self(f"{name}.ext"), "-out", self(f"{name}.pem"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def server_context(certificates, name="server", version=None, client=False, protocols=("http/1.1",)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates(f"{name}.pem"), certificates(f"{name}.key"))
    context.set_alpn_protocols(protocols)
    context.names = []  # that clients asked for
    context.sni_callback = lambda _, asked, context: context.names.append(asked)
    if version:
        context.minimum_version = context.maximum_version = version
    if client:
        context.load_verify_locations(certificates("ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def over_tls(origin, context):
    """The certificate that it serves from now on. `origin.sessions` are the connections, `origin.plain` the
    failed handshakes."""
    inner, origin.sessions, origin.plain = origin.handler, [], []

    def serve(conn):
        try:
            conn.sock = context.wrap_socket(conn.sock, server_side=True)
        except ssl.SSLError as failure:
            origin.plain.append(failure)
            return
        origin.sessions.append(conn.sock)
        inner(conn)

    origin.handler = serve
    return origin


def tls_config(certificates, *servers, **upstream):
    return api_config(servers, upstream={"tls": True, "tls_ca": certificates("ca.pem"), **upstream})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_is_taken_by_its_name_only(tmp_path, certificates, version):
    context = server_context(certificates, version=version)
    wrong = server_context(certificates, "other", version)
    with over_tls(RawOrigin(answer("right")), context) as server, over_tls(RawOrigin(), wrong) as bad:
        with Edge(tmp_path, config=tls_config(certificates, server.port, tls_name=NAME)) as edge:
            for _ in range(3):
                assert call(edge).body == b"right"
            assert set(context.names) == {NAME}
            assert len(server.sessions) < 3  # connections are pooled
            edge.config["upstreams"][0]["servers"] = [f"127.0.0.1:{bad.port}"]
            edge.write_config()
            edge.command("reload")
            edge.wait_until(lambda: call(edge).status == 502, what="the server of the new configuration")
            refused = call(edge)
            assert (refused.status, error(refused)) == (502, "origin_tls_failed")
            assert b"mismatch" not in refused.body and NAME.encode() not in refused.body
            assert not bad.requests
            edge.stderr.wait_for(lambda line: f"hostname mismatch ({NAME})" in line)
            line = edge.wait_for_line(kind="api", status=502)
            assert (line["reason"], line["detail"]) == ("origin_tls_failed", f"TLS: hostname mismatch ({NAME})")


def test_an_address_is_looked_for_among_addresses(tmp_path, certificates):
    context = server_context(certificates)
    wrong = server_context(certificates, "other")
    with over_tls(RawOrigin(), context) as server, over_tls(RawOrigin(), wrong) as bad:
        with Edge(tmp_path, config=tls_config(certificates, server.port, bad.port, balance="round_robin",
                                              retry_percent=100)) as edge:
            # The bad one is tried, and loses the request to the good one: it got no byte of it.
            assert {call(edge, method="POST", body=b"x").status for _ in range(6)} == {200}
            assert context.names == [None] * len(context.names)
            assert bad.plain and not bad.requests
            edge.stderr.wait_for(lambda line: "IP address mismatch (127.0.0.1)" in line)


def test_servers_in_the_clear_and_those_of_nobody_we_know_are_refused(tmp_path, certificates):
    def speaks_at_once(conn):
        conn.send(answer("no TLS here", "400 Bad Request"))
        conn.read_request(timeout=3600)

    with RawOrigin(speaks_at_once) as plain, over_tls(RawOrigin(), server_context(certificates)) as unknown:
        with Edge(tmp_path, config=tls_config(certificates, plain.port)) as edge:
            assert error(call(edge, key="secret-key")) == "origin_tls_failed"
            assert all(b"secret-key" not in conn.received for conn in plain.connections)
            upstream = edge.config["upstreams"][0]
            upstream["servers"] = [f"127.0.0.1:{unknown.port}"]
            del upstream["tls_ca"]  # the system's authorities
            edge.write_config()
            edge.command("reload")
            edge.wait_until(lambda: unknown.plain or call(edge).status == 200, what="a connection to the second one")
            assert error(call(edge)) == "origin_tls_failed"
            edge.stderr.wait_for(lambda line: "unable to get local issuer certificate" in line)


def test_workers_need_no_file_of_the_systems_authorities(tmp_path, certificates):
    """The edge reads a directory of authorities at its start and at reloads, never in a handshake."""
    directory = tmp_path / "authorities"
    directory.mkdir()
    digest = subprocess.run(["openssl", "x509", "-noout", "-subject_hash", "-in", certificates("ca.pem")], check=True,
                            capture_output=True, text=True).stdout.strip()
    authority = directory / f"{digest}.0"
    shutil.copy(certificates("ca.pem"), authority)
    config = api_config((), upstream={"tls": True})
    with over_tls(RawOrigin(answer("known")), server_context(certificates)) as server:
        config["upstreams"][0]["servers"] = [f"127.0.0.1:{server.port}"]
        with Edge(tmp_path, config=config, env={"SSL_CERT_DIR": str(directory), "SSL_CERT_FILE": "/dev/null"}) as edge:
            authority.unlink()
            assert call(edge).body == b"known"
            edge.config["upstreams"][0]["servers"] = [f"localhost:{server.port}"]
            edge.config["upstreams"][0]["tls_name"] = NAME
            edge.write_config()
            edge.command("reload")
            edge.wait_until(lambda: call(edge).status == 502, what="the directory without the authority")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_shown(tmp_path, certificates, version):
    context = server_context(certificates, version=version, client=True)
    with over_tls(RawOrigin(), context) as server:
        with Edge(tmp_path, config=tls_config(certificates, server.port)) as edge:
            # Over TLS 1.3 the server judges after the handshake, and its reset may overtake its alert.
            assert error(call(edge)) in {"origin_tls_failed", *(["origin_closed"] if version == ssl.TLSVersion.TLSv1_3 else [])}
            edge.config["upstreams"][0].update(tls_certificate=certificates("client.pem"), tls_key=certificates("client.key"))
            edge.write_config()
            edge.command("reload")
            edge.wait_until(lambda: call(edge).status == 200, what="the certificate in use")
            assert dict(x[0] for x in server.sessions[-1].getpeercert()["subject"])["commonName"] == "client"


def test_what_is_wrong_with_files_is_said_before_anything_changes(tmp_path, certificates):
    with over_tls(RawOrigin(), server_context(certificates)) as server:
        with Edge(tmp_path, config=tls_config(certificates, server.port)) as edge:
            edge.config["upstreams"][0].update(tls_certificate=certificates("client.pem"), tls_key=certificates("server.key"))
            edge.write_config()
            assert edge.command("reload", check=False).returncode != 0
            edge.stderr.wait_for(lambda line: re.search("upstream api: certificate .*does not belong", line))
            assert call(edge).status == 200


def test_http2_over_tls(tmp_path, certificates):
    context = server_context(certificates, protocols=["h2"])
    with over_tls(H2Origin(), context) as server:
        config = tls_config(certificates, server.port, protocol="h2", tls_name=NAME)
        with Edge(tmp_path, config=config) as edge:
            for _ in range(3):
                response = call(edge, "/echo", method="POST", body=b"abc" * 10000)
                assert (response.status, json.loads(response.body)["body_bytes"]) == (200, 30000)
            assert set(context.names) == {NAME}


@pytest.mark.parametrize("protocol", ["http1", "h2"])
def test_idle_connections_count_until_they_close(tmp_path, certificates, protocol):
    h2 = protocol == "h2"
    context = server_context(certificates, protocols=["h2" if h2 else "http/1.1"])
    with over_tls(H2Origin() if h2 else RawOrigin(answer("right")), context) as server:
        config = tls_config(certificates, server.port, protocol=protocol, tls_name=NAME)
        with Edge(tmp_path, config=config) as edge:
            assert call(edge).status == 200
            edge.wait_until(lambda: metric(edge, "exchanges_open") == 0, what="the end of the request")
            edge.wait_until(lambda: metric(edge, "buffered_bytes") >= 15360, what="an idle connection that counts")
            edge.wait_until(lambda: metric(edge, "buffered_bytes") == 0, 30, what="its end")


def test_http2_must_be_agreed_on(tmp_path, certificates):
    with over_tls(H2Origin(), server_context(certificates)) as server:
        with Edge(tmp_path, config=tls_config(certificates, server.port, protocol="h2")) as edge:
            refused = call(edge, "/echo")
            assert (refused.status, error(refused)) == (502, "origin_tls_failed")
            assert not server.calls
