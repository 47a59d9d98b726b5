"""Files of certificates that change under a running edge, as ACME clients and orchestrators change them: new
connections get the new certificate without a command, and an incomplete pair, or a mismatched one, changes
nothing."""
import os
import ssl
import subprocess
import types

import pytest

import harness

UNUSABLE = "changed, and cannot be used"


def make_pair(directory, name):
    """A new pair for the previews; its serial number distinguishes it from others."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                    "-subj", "/CN=x", "-addext", f"subjectAltName=DNS:*.{harness.DOMAIN}", "-keyout", f"{name}.key",
                    "-out", f"{name}.pem"], cwd=directory, check=True, capture_output=True)
    return types.SimpleNamespace(chain=directory / f"{name}.pem", key=directory / f"{name}.key")


def put(source, target):
    """Replaces a file atomically, by a rename."""
    beside = target.with_suffix(".new")
    beside.write_bytes(source.read_bytes())
    beside.rename(target)


def der(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def shown(edge, host):
    with edge.connect("tls", host=host, context=edge.context(verify=False)) as stream:
        return stream.tls.getpeercert(True)


def wait_until_shown(edge, host, chain):
    edge.wait_until(lambda: shown(edge, host) == der(chain), what="the new certificate")


def says(edge, text, start):
    return edge.stderr.wait_for(lambda line: text in line, start=start)


@pytest.fixture
def served(make_edge, origin, tmp_path):
    """An edge that serves with `live`, and another pair beside it."""
    live, first, second = (make_pair(tmp_path / "keys", name) for name in ("live", "first", "second"))
    put(first.chain, live.chain)
    put(first.key, live.key)
    edge = make_edge(config={"certificates": [{"chain": str(live.chain), "key": str(live.key)}]})
    host = edge.create_preview(origin)
    assert shown(edge, host) == der(first.chain)
    return types.SimpleNamespace(edge=edge, host=host, live=live, first=first, second=second)


def test_a_renewed_pair_is_in_force_and_old_connections_go_on(served):
    edge, host = served.edge, served.host
    with edge.connect("tls", host=host, context=edge.context(verify=False)) as kept:
        put(served.second.key, served.live.key)
        put(served.second.chain, served.live.chain)
        wait_until_shown(edge, host, served.second.chain)
        says(edge, "new connections get the new ones", 0)
        kept.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert kept.read_head().status == 200


@pytest.mark.parametrize("half", ["chain", "key"])
def test_half_a_pair_changes_nothing_and_is_reported_once(served, half):
    edge, host = served.edge, served.host
    other = {"chain": "key", "key": "chain"}[half]
    mark = len(edge.stderr.lines)
    put(getattr(served.second, half), getattr(served.live, half))
    says(edge, UNUSABLE, mark)
    assert shown(edge, host) == der(served.first.chain)
    put(getattr(served.second, other), getattr(served.live, other))
    wait_until_shown(edge, host, served.second.chain)
    assert sum(UNUSABLE in line for line in edge.stderr.lines[mark:]) == 1


def test_a_file_that_is_cut_short_or_gone_changes_nothing(served):
    edge, host = served.edge, served.host
    for damage in (lambda: served.live.chain.write_bytes(served.second.chain.read_bytes()[:300]), served.live.chain.unlink):
        mark = len(edge.stderr.lines)
        damage()
        says(edge, UNUSABLE, mark)
        assert shown(edge, host) == der(served.first.chain)
    # The command refuses it as well, and the edge still serves.
    assert edge.command("reload", check=False).returncode != 0
    assert shown(edge, host) == der(served.first.chain)
    put(served.second.key, served.live.key)
    put(served.second.chain, served.live.chain)
    wait_until_shown(edge, host, served.second.chain)


def test_files_that_are_written_in_place(served):
    """As lego writes them: the same file, first the key."""
    served.live.key.write_bytes(served.second.key.read_bytes())
    served.live.chain.write_bytes(served.second.chain.read_bytes())
    wait_until_shown(served.edge, served.host, served.second.chain)


def test_a_link_in_the_path_that_is_switched(make_edge, origin, tmp_path):
    """As a volume of secrets is switched: the files lead through a link to a folder."""
    first, second = make_pair(tmp_path / "1", "tls"), make_pair(tmp_path / "2", "tls")
    (tmp_path / "..data").symlink_to("1")
    edge = make_edge(config={"certificates": [{"chain": str(tmp_path / "..data/tls.pem"), "key": str(tmp_path / "..data/tls.key")}]})
    host = edge.create_preview(origin)
    assert shown(edge, host) == der(first.chain)
    (tmp_path / "..new").symlink_to("2")
    os.rename(tmp_path / "..new", tmp_path / "..data")
    wait_until_shown(edge, host, second.chain)
