"""The commands of docs/certificates.md, against an authority on loopback: each gets a wildcard by DNS-01, the edge serves it,
and a renewal is in force without a command."""
import pathlib
import re
import shlex
import ssl

import pytest

import harness
from acme import Authority

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/certificates.md"


def commands(client):
    """The commands of the client in the document, each joined to one line; options and domain unchanged."""
    text = DOCUMENT.read_text().replace("\\\n", " ")
    found = re.findall(rf"^(?:[A-Z_]+=\S+ )*{client} .*$", text, re.M)
    assert found, f"no command of {client} in {DOCUMENT}"
    return [" ".join(line.split()) for line in found]


def lego(authority, directory):
    """Changes to the commands for the authority on loopback: its address, a hook as name server, folders of
    the test."""
    def run(line):
        words = shlex.split(line)
        while "=" in words[0]:
            words.pop(0)
        words = [str(directory) if word == "/etc/boxedge/lego" else word for word in words]
        words = ["exec" if word == "cloudflare" else word for word in words]
        words = [f"*.{harness.DOMAIN}" if word == "*.box.example.com" else word for word in words]
        authority.run(words[0], "--server", authority.url, "--dns.resolvers", authority.dns, "--dns.disable-cp", *words[1:])
    first, renewal = commands("lego")
    folder = directory / "certificates"
    return lambda: run(first), lambda: run(renewal.replace("--days 30", "--days 10000 --no-random-sleep")), \
        folder / f"_.{harness.DOMAIN}.crt", folder / f"_.{harness.DOMAIN}.key"


def certbot(authority, directory):
    folders = ["--config-dir", directory / "etc", "--work-dir", directory / "work", "--logs-dir", directory / "log"]

    def run(line, *more):
        words = shlex.split(line)
        words = [f"{authority.hook} {'present' if 'auth' in words[i - 1] else 'cleanup'}"
                 if words[i - 1].startswith("--manual-") and words[i - 1].endswith("hook") else word for i, word in enumerate(words)]
        words = [f"*.{harness.DOMAIN}" if word == "*.box.example.com" else word for word in words]
        server = ["--server", authority.url] if "certonly" in words else []
        authority.run(*words, *server, *folders, *more)
    first, renewal = commands("certbot")
    folder = directory / "etc/live" / "previews"
    return lambda: run(first), lambda: run(renewal, "--force-renewal", "--no-random-sleep-on-renew"), \
        folder / "fullchain.pem", folder / "privkey.pem"


def shown(edge, host):
    with edge.connect("tls", host=host, context=edge.context(verify=False)) as stream:
        return stream.tls.getpeercert(True)


@pytest.mark.parametrize("client", [lego, certbot])
def test_a_wildcard_by_dns_and_its_renewal(make_edge, origin, tmp_path, client):
    with Authority(tmp_path / "authority") as authority:
        get, renew, chain, key = client(authority, tmp_path / "client")
        get()
        edge = make_edge(config={"certificates": [{"chain": str(chain), "key": str(key)}]})
        host = edge.create_preview(origin)
        first = ssl.PEM_cert_to_DER_cert(chain.read_text().partition("\n\n")[0])
        assert shown(edge, host) == first
        renew()
        second = ssl.PEM_cert_to_DER_cert(chain.read_text().partition("\n\n")[0])
        assert second != first
        edge.wait_until(lambda: shown(edge, host) == second, what="the renewed certificate")
