"""`boxedge trust` and `untrust`: the local authority in databases of NSS, in the system's store, and in a real
Chromium that opens a page of the edge without any flag."""

import json
import os
import pathlib
import shutil
import ssl
import subprocess

import pytest

from harness import BINARY, PATIENCE, ROOT, SLOW, Edge
from ordinary import Ordinary
from quiet_network import without_netlink

HERE = pathlib.Path(__file__).parent

pytestmark = pytest.mark.skipif(shutil.which("certutil") is None, reason="certutil is not there")


@pytest.fixture
def user():
    ordinary = Ordinary()
    yield ordinary
    ordinary.close()


def database(user, *parts):
    return user.home.joinpath(*parts)


def names(directory):
    """The authorities of a database, with their trust."""
    done = subprocess.run(["certutil", "-L", "-d", f"sql:{directory}"], capture_output=True, text=True, check=True)
    return dict(line.rsplit(None, 1) for line in done.stdout.splitlines()[3:] if line.strip())


def make_profile(user, name):
    folder = database(user, ".mozilla/firefox", name)
    folder.mkdir(parents=True)
    subprocess.run(["certutil", "-N", "--empty-password", "-d", f"sql:{folder}"], check=True)
    for path in [folder, *folder.parents]:
        if path == user.home:
            break
        os.chown(path, user.home.stat().st_uid, -1)
    for file in folder.iterdir():
        os.chown(file, user.home.stat().st_uid, -1)
    return folder


def test_an_ordinary_user(user):
    firefox = make_profile(user, "abc.default")
    before = names(firefox)
    done = user.run("trust")
    assert done.returncode == 3, done.stdout + done.stderr  # the system's store is left
    ca = user.home / ".local/state/boxedge/dev/ca/ca.pem"
    assert str(ca) in done.stdout and "vouches only for names under dev.localhost" in done.stdout
    assert f"Chromium  trusts it now: {user.home}/.pki/nssdb\n" in done.stdout
    assert f"Firefox   trusts it now: {firefox}\n" in done.stdout
    assert f"sudo install -m 644 '{ca}' /usr/local/share/ca-certificates/boxedge-" in done.stdout
    for place in (firefox, database(user, ".pki/nssdb")):
        assert [trust for name, trust in names(place).items() if name not in before] == ["C,,"]
    # Twice changes nothing.
    again = user.run("trust")
    assert again.stdout.count("trusts it already") == 2 and "now" not in again.stdout.split("system")[0].split("\n", 3)[3]
    # Only this authority goes.
    other = user.directory / "other.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                    "/O=boxedge/CN=boxedge local CA for dev.localhost", "-keyout", os.devnull, "-out", other],
                   check=True, capture_output=True)
    subprocess.run(["certutil", "-A", "-d", f"sql:{firefox}", "-n", "boxedge local CA for dev.localhost", "-t", "C,,", "-i",
                    other], check=True)
    gone = user.run("untrust")
    assert gone.stdout.count("no longer trusts it") == 2
    assert list(names(firefox)) == [*before, "boxedge local CA for dev.localhost"]
    assert user.run("untrust").stdout.count("does not have it") == 3
    assert ca.exists()


def test_an_authority_that_could_vouch_for_more_is_refused(user):
    place = user.home / ".local/state/boxedge/dev/ca"
    user.run("trust")
    for text in ("", "nameConstraints=permitted;DNS:dev.localhost\n",  # not critical, and addresses are free
                 "nameConstraints=critical,permitted;DNS:dev.localhost\n",
                 "nameConstraints=critical,permitted;DNS:example.com,excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:::/::\n"):
        conf = user.directory / "openssl.cnf"
        conf.write_text("[req]\ndistinguished_name=dn\nx509_extensions=e\n[dn]\n[e]\nbasicConstraints=critical,CA:TRUE\n" + text)
        subprocess.run(["openssl", "req", "-x509", "-config", conf, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-subj", "/CN=x", "-keyout", os.devnull, "-out", place / "ca.pem"], check=True,
                       capture_output=True)
        done = user.run("untrust")
        assert done.returncode == 1 and "could vouch for other sites" in done.stderr, text


def test_wrong_words(user):
    assert user.run("trust", "x").returncode == 2
    assert user.run("untrust", "--socket", "x").returncode == 2
    done = user.run("untrust")
    assert done.returncode == 1 and "is not there" in done.stderr
    assert user.run("trust", env={"HOME": ""}).returncode == 1


def test_a_database_with_a_password_is_a_failure(user):
    """It asks nobody, and says so."""
    folder = make_profile(user, "locked.default")
    secret = user.directory / "password"
    secret.write_text("secret\n")
    empty = user.directory / "empty"
    empty.write_text("\n")
    subprocess.run(["certutil", "-W", "-d", f"sql:{folder}", "-f", empty, "-@", secret], check=True, capture_output=True)
    done = user.run("trust")
    assert done.returncode in (1, 3) and f"{user.home}/.pki/nssdb" in done.stdout
    assert str(folder) in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="changes a copy of the system's store in a mount namespace")
def test_the_system_store(user, tmp_path):
    """In a mount namespace of its own, with a copy of /etc/ssl: the real store stays as it is."""
    context = ssl.create_default_context()
    script = f"""set -e
mount -t tmpfs none /usr/local/share/ca-certificates
cp -a /etc/ssl {tmp_path}/ssl
mount --bind {tmp_path}/ssl /etc/ssl
"$1" trust
cp /etc/ssl/certs/ca-certificates.crt {tmp_path}/after
ls /usr/local/share/ca-certificates > {tmp_path}/files
"$1" trust | tail -1
"$1" untrust
cp /etc/ssl/certs/ca-certificates.crt {tmp_path}/gone
ls /usr/local/share/ca-certificates /etc/ssl/certs | grep boxedge || echo none
"""
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": "", "XDG_RUNTIME_DIR": ""}
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", str(BINARY)], capture_output=True, text=True,
                          check=False, env=env, timeout=PATIENCE * SLOW * 4)
    assert done.returncode == 0, done.stdout + done.stderr
    pem = (home / ".local/state/boxedge/dev/ca/ca.pem").read_text().strip()
    assert pem in (tmp_path / "after").read_text() and pem not in (tmp_path / "gone").read_text()
    assert "system    trusts it now: " in done.stdout and "system    trusts it already: " in done.stdout
    assert "system    no longer trusts it: " in done.stdout and done.stdout.endswith("none\n")
    assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()


@pytest.mark.skipif(
    not all(map(shutil.which, ("node", "chromium"))) or not (HERE / "node_modules/playwright-core").is_dir(),
    reason="chromium, node or its packages are not there")
def test_chromium_opens_the_page(tmp_path, user):
    """Without a flag about certificates: only after trust, and no longer after untrust."""
    with Edge(tmp_path / "edge", kinds=("tls",)) as edge:
        tmp_path.chmod(0o755)
        home = tmp_path / "home"
        home.mkdir()
        env = {**os.environ, "HOME": str(home)}

        def look(name):
            done = subprocess.run(["node", "trust.mjs", edge.url("nobody-1.preview.box.localhost"), tmp_path / name],
                                  cwd=HERE, capture_output=True, text=True, timeout=60 * SLOW, check=False, env=env,
                                  preexec_fn=without_netlink)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout.splitlines()[-1])

        def change(verb):
            # As root the system's store would change too: hide it.
            hide = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro none /usr/local/share/ca-certificates; exec "$@"',
                    "sh"] if os.geteuid() == 0 else []
            return subprocess.run([*hide, str(BINARY), verb, "-c", str(edge.config_path)], env=env, capture_output=True,
                                  text=True, check=False, timeout=PATIENCE * SLOW)

        assert "ERR_CERT_AUTHORITY_INVALID" in look("before")["error"]
        assert change("trust").returncode in (0, 3)
        seen = look("trusted")
        assert seen["status"] == 404, seen
        assert change("untrust").returncode in (0, 3)
        assert "ERR_CERT_AUTHORITY_INVALID" in look("after")["error"]


def test_the_documents_name_the_store():
    assert "boxedge trust" in (ROOT / "docs/getting-started.md").read_text(encoding="utf-8")
