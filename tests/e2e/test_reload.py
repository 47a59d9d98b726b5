"""The effect of a reload: changes in place, and refusals of the whole configuration."""

import socket
import subprocess

import pytest

import harness
from processes import HEALTH, Load, reload
from wire import PATIENCE


def test_reload_changes_what_it_can_in_place(make_edge, origin):
    edge = make_edge(workers=1)
    host = edge.create_preview(origin)
    held = edge.connect("plain")
    ask = f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert held.request(ask).status == 200
    workers = edge.pids("worker")
    old_health, new_health = edge.port["health"], harness.PORTS.take()
    listeners = [entry for entry in edge.config["listeners"] if entry["kind"] != "health"]
    with Load(edge, host) as load:
        load.wait_more(20)
        reload(edge, {"listeners": [*listeners, {"kind": "health", "address": f"127.0.0.1:{new_health}"}]})
        load.wait_more(20)
    assert load.failures == []
    edge.port["health"] = new_health
    with edge.connect("health") as client:
        assert client.request(HEALTH).status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old_health), timeout=PATIENCE)
    assert edge.pids("worker") == workers
    assert held.request(ask).status == 200  # open connections stay
    # A configuration applies to later connections and requests.
    reload(edge, {"preview_domain": "other.localhost"})
    assert edge.get(host, "/echo").status == 421
    assert edge.get(f"box-{origin.port}.other.localhost", "/echo").status == 200
    held.close()


def test_reload_changes_the_number_of_workers(make_edge, origin):
    edge = make_edge(workers=1)
    host = edge.create_preview(origin)
    with Load(edge, host) as load:
        load.wait_more(20)
        reload(edge, {"workers": 3})
        edge.wait_until(lambda: len(edge.pids("worker")) == 3)
        load.wait_more(50)
        assert load.failures == []
        reload(edge, {"workers": 1})
        edge.wait_until(lambda: len(edge.pids("worker")) == 1)
        load.wait_more(50)
    # The kernel may reset a connection that arrives while one of three sockets closes, but no more than that.
    assert len(load.failures) <= 4
    with edge.connect("health") as client:
        assert client.request(HEALTH).status == 200


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"workers": "many"}, "workers"),
        ({"timeots": {}}, "timeots"),
        ({"run_dir": "/tmp/elsewhere"}, "run_dir: cannot change"),
        ({"state_dir": "/tmp/elsewhere"}, "state_dir: cannot change"),
        ({"user": "daemon"}, "user: cannot change"),
        ({"store": {"map_size": "1GiB"}}, "store.map_size: cannot change"),
        ({"log": {"access": "/nowhere/at/all.log"}}, "/nowhere/at/all.log"),
    ],
)
def test_a_bad_reload_changes_nothing(make_edge, origin, change, sentence):
    edge = make_edge()
    before = dict(edge.config)
    host = edge.create_preview(origin)
    lines = reload(edge, change, "not reloaded")
    assert any(sentence in line for line in lines), lines
    assert edge.get(host, "/echo").status == 200
    refused = edge.command("reload", check=False)
    assert refused.returncode != 0 and sentence.split(":")[0] in refused.stdout + refused.stderr
    edge.config = before
    reload(edge, {})


def test_a_reload_with_a_taken_port_changes_nothing(make_edge, origin):
    edge = make_edge()
    host = edge.create_preview(origin)
    listeners = edge.config["listeners"]
    taken = [*listeners, {"kind": "plain", "address": f"127.0.0.1:{origin.port}"}]
    lines = reload(edge, {"listeners": taken}, "not reloaded")
    assert any(f"cannot listen on 127.0.0.1:{origin.port}" in line for line in lines)
    assert edge.get(host, "/echo").status == 200
    assert edge.get(host, "/echo", kind="tls").status == 200
    reload(edge, {"listeners": listeners})


def expired(directory):
    """An expired certificate for the previews, with its key; named as in the configuration."""
    for args in (["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-addext",
                  f"subjectAltName=DNS:*.{harness.DOMAIN}", "-keyout", "old.key", "-out", "old.csr"],
                 ["x509", "-req", "-in", "old.csr", "-signkey", "old.key", "-days", "-1", "-copy_extensions", "copy",
                  "-out", "old.pem"]):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)
    (directory / "old.key").chmod(0o600)
    return {"certificates": [{"chain": str(directory / "old.pem"), "key": str(directory / "old.key")}]}


def test_a_reload_that_loads_an_expired_certificate_says_so(make_edge):
    edge = make_edge()
    edge.config |= expired(edge.directory)
    edge.write_config()
    done = edge.command("reload", check=False)
    assert done.returncode == 0 and "was reloaded" in done.stdout
    assert "warning: certificates.chain: " in done.stderr and "it has expired" in done.stderr
    edge.stderr.wait_for(lambda line: "it has expired" in line)
    # So does a start, and the check.
    assert "it has expired" in edge.command("check", check=False).stderr
    edge.stop()
    edge.start()
    assert any("it has expired" in line for line in edge.stderr.lines)


def test_reload_by_command_says_what_is_wrong(make_edge):
    edge = make_edge()
    edge.command("reload")
    edge.stderr.wait_for(lambda line: "reloaded: configuration 2" in line)


def needs_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_an_ipv6_listener_takes_ipv6_clients_only(make_edge):
    """The configuration decides the listening addresses, whatever the system's net.ipv6.bindv6only is."""
    needs_ipv6()
    port = harness.PORTS.take()
    edge = make_edge(kinds=("health",))
    six = {"kind": "health", "address": f"[::]:{port}"}
    reload(edge, {"listeners": [*edge.config["listeners"], six]})
    with harness.Stream(socket.create_connection(("::1", port), PATIENCE)) as client:
        assert client.request(HEALTH).status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), PATIENCE)
    reload(edge, {"listeners": [*edge.config["listeners"], {"kind": "health", "address": f"0.0.0.0:{port}"}]})
    for address in ("::1", "127.0.0.1"):
        with harness.Stream(socket.create_connection((address, port), PATIENCE)) as client:
            assert client.request(HEALTH).status == 200


def test_an_ipv6_listener_takes_ipv4_clients_where_asked(make_edge, origin):
    needs_ipv6()
    port = harness.PORTS.take()
    edge = make_edge(kinds=("health",))
    both = {"kind": "plain", "address": f"[::]:{port}", "ipv4": True}
    own = edge.config["listeners"]
    reload(edge, {"listeners": [*own, both]})
    host = edge.create_preview(origin)
    for address, client in (("::1", "::1"), ("127.0.0.1", "127.0.0.1")):
        with harness.Stream(socket.create_connection((address, port), PATIENCE)) as stream:
            assert stream.request(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).status == 200
        # An IPv4 client is one by its IPv4 address, everywhere.
        edge.wait_for_line(client=client)
    lines = reload(edge, {"listeners": [*own, {**both, "ipv4": False}]}, "not reloaded")
    assert any("listeners.ipv4" in line and "restart it" in line for line in lines)
    lines = reload(edge, {"listeners": [*own, both, {"kind": "health", "address": f"0.0.0.0:{port}"}]}, "not reloaded")
    assert any("conflicts with" in line for line in lines)
    edge.config["listeners"] = [*own, both]
    edge.write_config()
    edge.stop()
    edge.start()
    with harness.Stream(socket.create_connection(("127.0.0.1", port), PATIENCE)) as stream:
        assert stream.request(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).status == 200
