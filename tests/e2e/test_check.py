"""`boxedge check` reports, in the same words, each reason for which `boxedge run` refuses to start, and
changes nothing for it. The unit tests of check cover errors in the text of a configuration, and in its
certificates."""
import contextlib
import fcntl
import os
import pathlib
import resource
import shutil
import socket
import subprocess

import pytest
import yaml

from harness import BINARY, PATIENCE, PORTS, SLOW, Edge

NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
STORES = ("state/store", "state/store/rules", "state/store/keys", "state/store/deletions", "state/store/aliases", "state/store/links", "run/store")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The leftovers of an edge: a folder with state and run."""
    folder = tmp_path_factory.mktemp("made")
    edge = Edge(folder)
    edge.stop()
    (folder / "run").mkdir()
    shutil.copytree(edge.run_dir / "store", folder / "run/store")
    yield folder
    shutil.rmtree(edge.run_dir, ignore_errors=True)


class Place:
    """A configuration that was never run, in a folder that everybody may enter, and a case's change to it."""

    def __init__(self, folder, made):
        self.folder, self.made, self.user = folder, made, None
        self.limits = {}  # of the command, by resource.RLIMIT_*
        self.stack = contextlib.ExitStack()
        self.port = PORTS.take()
        self.config = {"preview_domain": "p.example", "node": "n", "user": "", "public_port": 443,
                       "listeners": [{"kind": "tls", "address": f"127.0.0.1:{self.port}"}],
                       "state_dir": str(folder / "state"), "run_dir": str(folder / "run")}
        for name in ("state", "run"):
            (folder / name).mkdir()

    def with_stores(self):
        for store in ("state/store", "run/store"):
            shutil.copytree(self.made / store, self.folder / store)

    def hold(self, name, said="4711"):
        """Another process's lock, like this one's."""
        path = self.folder / name
        path.write_text(said)
        lock = self.stack.enter_context(open(path, "r+b"))
        fcntl.flock(lock, fcntl.LOCK_EX)

    def as_nobody(self):
        """The command runs as an ordinary user, who owns all files here."""
        self.user = NOBODY
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)

    def command(self, verb, *more):
        binary = BINARY
        path = self.folder / "boxedge.yaml"
        path.write_text(yaml.safe_dump(self.config))
        as_user = {}
        if self.user is not None:
            binary = self.folder / "boxedge"
            if not binary.exists():
                shutil.copy(BINARY, binary)
            as_user = {"user": self.user, "group": self.user, "extra_groups": []}
        return subprocess.run([str(binary), verb, "-c", str(path), *more], capture_output=True, text=True, check=False,
                              timeout=2 * PATIENCE * SLOW, start_new_session=True,
                              preexec_fn=self.limit if self.limits else None, **as_user)

    def limit(self):
        for what, most in self.limits.items():
            resource.setrlimit(what, (most, most))

    def tree(self):
        """All files, except the command's own."""
        parts = [self.folder / name for name in ("state", "run", "elsewhere", "none")]
        paths = [path for top in parts for path in [top, *top.rglob("*")] if os.path.lexists(path)]
        return {str(path): (s.st_ino, s.st_mode, s.st_uid, s.st_size, s.st_mtime_ns) for path in paths for s in [path.lstat()]}


@pytest.fixture
def place(tmp_path_factory, made):
    folder = pathlib.Path(f"/tmp/be-check-{os.getpid()}-{PORTS.take()}")
    folder.mkdir(mode=0o755)
    (folder / "elsewhere").mkdir()
    place = Place(folder, made)
    yield place
    place.stack.close()
    shutil.rmtree(folder, ignore_errors=True)


# Each case spoils a sound place, and returns a part of the sentence of both commands.

def user_missing(place):
    place.config["user"] = "no-such-user"
    return 'user: the user "no-such-user" does not exist; make it (useradd'


def store_of_another_user(place):
    place.config["user"] = "nobody"
    (place.folder / "state/store").mkdir()
    return f"{place.folder}/state/store belongs to user 0, but the edge runs as user {NOBODY}; chown -R it"


def volatile_store_of_another_user(place):
    place.config["user"] = "nobody"
    (place.folder / "run/store").mkdir()
    return f"{place.folder}/run/store belongs to user 0, but the edge runs as user {NOBODY}; chown -R it"


def state_dir_that_the_user_may_not_enter(place):
    place.config["user"] = "nobody"
    os.chmod(place.folder / "state", 0o700)
    return f"the store cannot be opened: {place.folder}/state/store: cannot open the store: Permission denied"


def run_dir_that_the_user_may_not_enter(place):
    place.config["user"] = "nobody"
    os.chmod(place.folder / "run", 0o700)
    return f"the store cannot be opened: {place.folder}/run/store: cannot open the store: Permission denied"


def state_dir_that_is_a_file(place):
    (place.folder / "state").rmdir()
    (place.folder / "state").write_text("")
    return 'state" exists and is not a directory'


def run_dir_below_a_file(place):
    (place.folder / "run").rmdir()
    (place.folder / "run").write_text("")
    place.config["run_dir"] += "/more"
    return 'run/more" cannot be'


def store_that_is_a_file(place):
    (place.folder / "state/store").write_text("")
    return f"the directory {place.folder}/state/store cannot be made or opened: Not a directory"


def lock_that_is_a_link(place):
    (place.folder / "run/boxedge.lock").symlink_to("/dev/null")
    return f"{place.folder}/run/boxedge.lock cannot be opened: Too many levels of symbolic links"


def lock_that_is_a_directory(place):
    (place.folder / "state/boxedge-state.lock").mkdir()
    return f"{place.folder}/state/boxedge-state.lock cannot be opened: Is a directory"


def run_dir_of_another_edge(place):
    place.hold("run/boxedge.lock")
    return "another boxedge is running with this run_dir (process 4711 holds "


def state_dir_of_another_edge(place):
    place.hold("state/boxedge-state.lock")
    return "another boxedge is running with this state_dir (process 4711 holds "


def directories_of_two_others(place):
    place.hold("state/boxedge-state.lock", "1")
    place.hold("run/boxedge.lock", "2")
    return "another boxedge is running with this run_dir (process 2 holds "


def locks_of_nobody_known(place):
    place.hold("state/boxedge-state.lock", "")
    place.hold("run/boxedge.lock", "")
    return "another boxedge is running with this run_dir (process unknown holds "


def authority_that_is_a_file(place):
    (place.folder / "state/ca").write_text("")
    return f"{place.folder}/state/ca/ca.key cannot be written: Not a directory"


def authority_whose_key_is_a_directory(place):
    (place.folder / "state/ca/ca.key").mkdir(parents=True)
    return f"{place.folder}/state/ca/ca.key cannot be written: Is a directory"


def port_that_is_taken(place):
    other = place.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    place.config["listeners"] = [{"kind": "plain", "address": "127.0.0.1:%d" % other.getsockname()[1]}]
    return ("cannot listen on 127.0.0.1:%d: Address already in use (another socket already listens there)"
            % other.getsockname()[1])


def address_of_another_machine(place):
    place.config["listeners"] = [{"kind": "plain", "address": "203.0.113.7:8080"}]
    return "cannot listen on 203.0.113.7:8080: Cannot assign requested address (no interface of this machine has it)"


def admin_socket_that_is_a_file(place):
    (place.folder / "run/admin.sock").write_text("")
    return f"{place.folder}/run/admin.sock exists and is not a socket; remove it"


def admin_socket_of_another_process(place):
    other = place.stack.enter_context(socket.socket(socket.AF_UNIX))
    other.bind(str(place.folder / "run/admin.sock"))
    other.listen()
    return f"another process serves the admin socket {place.folder}/run/admin.sock"


def admin_socket_in_no_directory(place):
    place.config["admin"] = {"socket": str(place.folder / "none/admin.sock")}
    return f"cannot listen on the admin socket {place.folder}/none/admin.sock: No such file or directory"


def log_in_no_directory(place):
    place.config["log"] = {"access": str(place.folder / "none/access.log")}
    return 'none/access.log" cannot be written: No such file or directory'


def certificate_that_is_not_there(place):
    place.config["certificates"] = [{"chain": "/none/c.pem", "key": "/none/k.pem"}]
    return '"/none/c.pem" cannot be read: No such file or directory'


def word_that_is_no_key(place):
    place.config["workerz"] = 1
    return "workerz: is not a known key; did you mean workers?"


def port_for_root(place):
    if int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 2:
        pytest.skip("every user may listen on every port here")
    place.as_nobody()
    place.config["listeners"] = [{"kind": "plain", "address": "127.0.0.1:1"}]
    return "cannot listen on 127.0.0.1:1: Permission denied (ports below 1024 need root or CAP_NET_BIND_SERVICE)"


def directory_of_root(place):
    place.as_nobody()
    os.chown(place.folder / "state", 0, 0)
    return 'state" cannot be written: Permission denied'


def lock_of_root(place):
    (place.folder / "run/boxedge.lock").write_text("")
    place.as_nobody()
    os.chown(place.folder / "run/boxedge.lock", 0, 0)
    return f"{place.folder}/run/boxedge.lock cannot be opened: Permission denied"


def store_of_root(place):
    place.with_stores()
    place.as_nobody()
    os.chown(place.folder / "state/store/data.mdb", 0, 0)
    return f"the store cannot be opened: {place.folder}/state/store: cannot open the store: Permission denied"


def store_in_which_nothing_can_be_made(place):
    place.with_stores()
    shutil.rmtree(place.folder / "state/store/keys")
    place.as_nobody()
    os.chmod(place.folder / "state/store", 0o500)
    return f"the store cannot be opened: {place.folder}/state/store/keys: cannot be made: Permission denied"


def admin_socket_in_a_directory_of_root(place):
    place.as_nobody()
    os.chown(place.folder / "elsewhere", 0, 0)
    place.config["admin"] = {"socket": str(place.folder / "elsewhere/admin.sock")}
    return f"cannot listen on the admin socket {place.folder}/elsewhere/admin.sock: Permission denied"


def log_at_a_link_to_nowhere(place):
    (place.folder / "elsewhere/log").symlink_to("../none/log")
    place.config["log"] = {"access": str(place.folder / "elsewhere/log")}
    return 'elsewhere/log" cannot be written: No such file or directory'


def log_at_a_link_to_itself(place):
    (place.folder / "elsewhere/log").symlink_to("log")
    place.config["log"] = {"access": str(place.folder / "elsewhere/log")}
    return 'elsewhere/log" cannot be written: Too many levels of symbolic links'


def log_at_a_terminal_that_is_not_there(place):
    place.config["log"] = {"access": "/dev/tty"}
    return '"/dev/tty" cannot be written: No such device or address'


def small_files(place):
    place.limits = {resource.RLIMIT_FSIZE: 4096}
    return "this process may write files of at most 4096 bytes, which is too little for the store"


def no_files(place):
    place.limits = {resource.RLIMIT_FSIZE: 0}
    return "this process may write files of at most 0 bytes, which is too little for the store"


def few_descriptors(place):
    place.as_nobody()  # root may have more than the limit
    place.config["workers"] = 2
    place.limits = {resource.RLIMIT_NOFILE: 69}
    return "this process may have 69 descriptors, which is too few for any connection; allowed: 70 and more"


CASES = [log_at_a_terminal_that_is_not_there, log_at_a_link_to_nowhere, log_at_a_link_to_itself, small_files, no_files,
         state_dir_that_is_a_file, run_dir_below_a_file, store_that_is_a_file, lock_that_is_a_link, lock_that_is_a_directory,
         run_dir_of_another_edge, state_dir_of_another_edge, directories_of_two_others, locks_of_nobody_known,
         authority_that_is_a_file, authority_whose_key_is_a_directory, port_that_is_taken, address_of_another_machine,
         admin_socket_that_is_a_file, admin_socket_of_another_process, admin_socket_in_no_directory, log_in_no_directory,
         certificate_that_is_not_there, word_that_is_no_key]
CASES_OF_THE_FILE = [certificate_that_is_not_there, word_that_is_no_key]  # they prevent it from running anywhere
CASES_OF_ROOT = [few_descriptors,
                 user_missing, store_of_another_user, volatile_store_of_another_user, state_dir_that_the_user_may_not_enter,
                 run_dir_that_the_user_may_not_enter, port_for_root, directory_of_root, lock_of_root, store_of_root,
                 store_in_which_nothing_can_be_made, admin_socket_in_a_directory_of_root]


def both_refuse(place, sentence):
    before = place.tree()
    check = place.command("check")
    assert place.tree() == before
    assert check.returncode == 1 and sentence in check.stderr, (sentence, check)
    run = place.command("run")
    assert run.returncode == 1 and sentence in run.stderr, (sentence, run)


@pytest.mark.parametrize("case", [*(pytest.param(case, id=case.__name__) for case in CASES),
                                  *(pytest.param(case, id=case.__name__, marks=AS_ROOT) for case in CASES_OF_ROOT)])
def test_what_run_refuses(place, case):
    both_refuse(place, case(place))
    elsewhere = place.command("check", "--elsewhere")
    if case in CASES_OF_THE_FILE:
        assert elsewhere.returncode == 1
    else:
        assert elsewhere.returncode == 0 and "0 warnings" in elsewhere.stdout, elsewhere


LOCK_OF_STATE, STORE_OF_STATE, AUTHORITY = "the lock of state_dir", "the store in state_dir", "the authority in state_dir"
# Keys and their paths below the place's folder -> the refused key, and the other use of that path.
SECOND_USES = {
    "admin_state_lock": ({"admin.socket": "state/boxedge-state.lock"}, "admin.socket", LOCK_OF_STATE),
    "admin_run_lock": ({"admin.socket": "run/boxedge.lock"}, "admin.socket", "the lock of run_dir"),
    "admin_store": ({"admin.socket": "state/store"}, "admin.socket", STORE_OF_STATE),
    "admin_in_store": ({"admin.socket": "run/store/admin.sock"}, "admin.socket", "the store in run_dir"),
    "admin_authority": ({"admin.socket": "state/ca"}, "admin.socket", AUTHORITY),
    "admin_new_dir": ({"state_dir": "elsewhere/new", "admin.socket": "elsewhere/new"}, "admin.socket", "the state_dir"),
    "log_admin": ({"log.access": "run/admin.sock"}, "log.access", "the admin socket"),
    "log_other_admin": ({"log.access": "elsewhere/x", "admin.socket": "elsewhere/x"}, "log.access", "the admin socket"),
    "log_run_lock": ({"log.access": "run/boxedge.lock"}, "log.access", "the lock of run_dir"),
    "log_authority": ({"log.access": "state/ca"}, "log.access", AUTHORITY),
    "log_store": ({"log.access": "state/store"}, "log.access", STORE_OF_STATE),
    "log_dir": ({"log.access": "elsewhere/new", "run_dir": "elsewhere/new"}, "log.access", "the run_dir"),
    "run_lock": ({"run_dir": "state/boxedge-state.lock"}, "run_dir", LOCK_OF_STATE),
    "state_lock": ({"state_dir": "run/boxedge.lock/x"}, "state_dir", "the lock of run_dir"),
    "slashes": ({"admin.socket": "state//./boxedge-state.lock"}, "admin.socket", LOCK_OF_STATE),
    "link": ({"admin.socket": "elsewhere/link/boxedge-state.lock"}, "admin.socket", LOCK_OF_STATE),
    "up": ({"log.access": "elsewhere/../state/store"}, "log.access", STORE_OF_STATE),
}


@pytest.mark.parametrize("name", SECOND_USES)
def test_a_path_with_two_uses(place, name):
    paths, key, what = SECOND_USES[name]
    (place.folder / "elsewhere/link").symlink_to("../state")
    for path_key, path in paths.items():
        section, _, word = path_key.partition(".")
        if word:
            place.config[section] = {word: f"{place.folder}/{path}"}
        else:
            place.config[section] = f"{place.folder}/{path}"
    both_refuse(place, f'{key}: "{place.folder}/{paths[key]}" is, or is in, {what} of this edge')


def small_file_system(place, options):
    mounted = place.folder / "elsewhere/small"
    mounted.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", mounted], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    place.stack.callback(subprocess.run, ["umount", mounted], check=True)
    return mounted


@AS_ROOT
@pytest.mark.parametrize("options, left", [("size=512k", "bytes left"), ("size=64k", "bytes left"),
                                           ("nr_inodes=20", "files")])
@pytest.mark.parametrize("key", ["state_dir", "run_dir"])
def test_a_full_disk(place, key, options, left):
    """A new store finds no room. An existing one is served, full disk or not."""
    mounted = small_file_system(place, options)
    place.config[key] = str(mounted / "new/dir")
    (place.folder / "none").mkdir()
    for verb in ("check", "run"):
        done = place.command(verb)
        assert done.returncode == 1, done
        assert f'{key}: the file system of "{place.config[key]}" has ' in done.stderr and left in done.stderr, done


@AS_ROOT
@pytest.mark.parametrize("authority", [True, False])
def test_a_full_disk_with_a_store(place, authority):
    mounted = small_file_system(place, "size=16m")
    for name in ("state", "run"):
        place.config[f"{name}_dir"] = str(mounted / name)
    assert place.command("check").returncode == 0
    assert runs(place)
    if not authority:
        shutil.rmtree(mounted / "state/ca")
    with open(mounted / "big", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    if authority:
        assert place.command("check").returncode == 0
        assert runs(place)
    else:
        both_refuse(place, f'state_dir: the file system of "{mounted}/state" has ')


def test_a_log_that_is_a_pipe(place):
    """Only the start can tell whether a process reads it: the reader would take the end of `check` for the
    end of the log."""
    path = place.folder / "elsewhere/pipe"
    os.mkfifo(path)
    place.config["log"] = {"access": str(path)}
    check = place.command("check")
    assert check.returncode == 0 and f'"{path}" is a pipe: `run` fails while no process reads it' in check.stderr
    assert "No such device or address" in place.command("run").stderr
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb"):
        assert runs(place)


def test_a_store_that_cannot_grow(place):
    place.limits = {resource.RLIMIT_FSIZE: 1 << 22}
    check = place.command("check")
    assert check.returncode == 0 and "this process may write files of at most 4194304 bytes: the edge ends when" in check.stderr


def cut(file):
    file.write_bytes(file.read_bytes()[:8192])
    return "data.mdb is cut short: it has 8192 of "


def empty(file):
    file.write_bytes(b"")
    return "data.mdb is empty"


def nonsense(file):
    file.write_bytes(b"no store " * 1000)
    return "data.mdb is no store"


def newer(file):
    """The record of the layout, in LMDB's form: the name and then the value."""
    pages = file.read_bytes()
    assert b"layout\1" in pages
    file.write_bytes(pages.replace(b"layout\1", b"layout\2"))
    return "the store has format 2 and this edge reads format 1: start the edge that wrote it"


def directory(file):
    file.unlink()
    file.mkdir()
    return "cannot open the store: Is a directory"


@pytest.mark.parametrize("damage", [cut, empty, nonsense, newer, directory], ids=lambda damage: damage.__name__)
def test_a_store_that_run_refuses(place, damage):
    """Each of its environments."""
    place.with_stores()
    shutil.copy(place.made / "state/store.made", place.folder / "state")
    for store in STORES[:-1]:  # of the last one the states are made anew: test_store_damage.py
        file = place.folder / store / "data.mdb"
        shutil.copytree(place.folder, place.folder.with_suffix(".kept"), symlinks=True)
        try:
            both_refuse(place, f"the store cannot be opened: {place.folder}/{store}: {damage(file)}")
        finally:
            shutil.rmtree(place.folder)
            place.folder.with_suffix(".kept").rename(place.folder)


def runs(place):
    """The edge serves."""
    with subprocess.Popen([str(BINARY), "run", "-c", str(place.folder / "boxedge.yaml")], stderr=subprocess.PIPE, text=True,
                          stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        try:
            assert any(" boxedge: ready:" in line for line in process.stderr)
        finally:
            process.terminate()
            process.stderr.read()
    return process.returncode == 0


@pytest.mark.parametrize("stores", [False, True], ids=["first", "again"])
def test_what_check_takes_run_takes(place, stores):
    if stores:
        place.with_stores()
    before = place.tree()
    check = place.command("check")
    assert (check.returncode, check.stderr) == (0, ""), check
    assert place.tree() == before
    assert runs(place)


def test_directories_that_are_not_there_yet(place):
    for name in ("state", "run"):
        (place.folder / name).rmdir()
        place.config[f"{name}_dir"] = str(place.folder / f"elsewhere/a/{name}")
    before = place.tree()
    check = place.command("check")
    assert (check.returncode, check.stderr) == (0, ""), check
    assert place.tree() == before and not (place.folder / "elsewhere/a").exists()
    assert runs(place)


def test_beside_the_edge_that_runs(edge):
    """Its directories, its store and its ports are its own: only `run` is refused."""
    check = edge.command("check", check=False)
    assert check.returncode == 0 and f"note: process {edge.process.pid} runs with this state_dir and run_dir" in check.stderr
    assert "warning" not in check.stderr
    edge.command("reload")
    run = edge.command("run", check=False)
    assert run.returncode == 1 and f"another boxedge is running with this run_dir (process {edge.process.pid} holds" in run.stderr
    edge.config["workers"] = 1000
    edge.write_config()
    assert edge.command("check", check=False).returncode == 1


def test_a_file_for_another_machine(place):
    place.config["listeners"] = [{"kind": "plain", "address": "203.0.113.7:8080"}]
    assert place.command("check").returncode == 1
    check = place.command("check", "--elsewhere")
    assert (check.returncode, check.stderr) == (0, ""), check
    turned = subprocess.run([BINARY, "check", "--elsewhere", "-c", place.folder / "boxedge.yaml"], capture_output=True, text=True,
                            check=False)
    assert (turned.returncode, turned.stdout) == (0, check.stdout), turned
    place.config["workerz"] = 1
    assert place.command("check", "--elsewhere").returncode == 1
