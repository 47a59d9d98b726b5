"""The manual pages and completions that deploy/manual makes from the binary's help and reference."""

import concurrent.futures
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

from harness import BINARY, PATIENCE, ROOT, SLOW

sys.path.insert(0, str(ROOT / "deploy/manual"))
import cli_help  # noqa: E402  pylint: disable=wrong-import-position
import completion  # noqa: E402  pylint: disable=wrong-import-position
import man  # noqa: E402  pylint: disable=wrong-import-position

PAGES = ["boxedge.1", "boxedge.yaml.5"]
SHELLS = [completion.bash, completion.zsh, completion.fish]


@pytest.fixture(scope="module")
def commands():
    return cli_help.read_commands(str(BINARY))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manual")
    run(ROOT / "deploy/manual/make", BINARY, folder)
    return folder


def run(*arguments, **kw):
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                          timeout=PATIENCE * SLOW, **kw)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}")


# ---- manual pages

@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_warning(made, name):
    need("man", "groff", "lexgrog")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
    assert run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", made / name, env=environment).stderr == ""
    assert run("groff", "-ww", "-man", "-Tutf8", "-Kutf8", made / name).stderr == ""
    found = run("lexgrog", made / name).stdout
    assert f'"{name[:-2]} - ' in found


def rendered(page):
    need("man")
    text = run("man", "-l", page, env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "400", "MAN_KEEP_FORMATTING": ""})
    return re.sub(r"\s+", " ", re.sub(r".\x08", "", text.stdout))


def test_the_page_of_the_program_has_all_that_help_has(made, commands):
    text = rendered(made / "boxedge.1")
    for command in commands:
        wanted = [f"boxedge {synopsis}" for synopsis, _ in command.usage]
        wanted += [re.sub(r"[`\s]+", lambda space: " " if " " in space[0] else "", paragraph)
                   for paragraph in command.paragraphs]
        wanted += [", ".join(option.names) for option in command.options]
        assert command.name == "help" or len(wanted) >= 2
        for part in wanted:
            assert part.replace("`", "") in text, (command.name, part)


def test_the_page_of_the_file_has_every_key(made):
    reference = run(BINARY, "check", "--print-reference").stdout
    keys = re.findall(r"^\| `([^`]+)`", reference, re.M)
    listed = re.findall(r"^\.TP\n\.B (\S+)$", (made / "boxedge.yaml.5").read_text(encoding="utf-8"), re.M)
    assert len(keys) > 80 and listed == [man.plain(key) for key in keys]


@pytest.mark.parametrize("text", [".TH", "'br", "a\\fB", "-x", "...", "`", '"', "a^b~c"])
def test_no_text_is_a_request_of_roff(text):
    need("groff")
    source = ".TH X 1\n.SH NAME\nx \\- y\n.PP\n" + man.plain(text) + "\n"
    done = subprocess.run(["groff", "-ww", "-man", "-Tascii", "-P-cbou"], input=source, capture_output=True, text=True,
                          check=True, timeout=60)
    assert done.stderr == "" and text in done.stdout


# ---- completions

def options_of_the_sources():
    """Every option that any command could have."""
    found = set()
    for path in [*(ROOT / "edge/cli").glob("*.c"), *(ROOT / "edge/dev").glob("*.c")]:
        source = path.read_text(encoding="utf-8")
        for letters in re.findall(r'getopt_long\(argc, argv, "\+?([a-z:]+)"', source):
            found |= {f"-{letter}" for letter in letters.replace(":", "")}
        found |= set(re.findall(r'"(--[a-z][a-z-]*|-[a-z])"', source))
        found |= {f"--{name}" for name in re.findall(r'\{"([a-z-]+)", (?:required|no)_argument', source)}
    return sorted(found)


def is_taken(command, option):
    """The binary itself decides whether the command takes it, as a flag or with a value."""
    for words in ([option], [option, "1"]):
        with tempfile.TemporaryDirectory() as folder:  # "--help" may be the value, and the command does its work
            done = subprocess.run([BINARY, command, *words, "--help"], capture_output=True, text=True, check=False,
                                  stdin=subprocess.DEVNULL, timeout=PATIENCE * SLOW, cwd=folder)
        if done.returncode == 0:
            return True
    return False


@pytest.mark.timeout(900)  # a thousand runs of the program
def test_every_option_of_every_command_is_in_its_help(commands):
    """And no other. `check` has positional words, and `version` no option of the running edge."""
    everything = options_of_the_sources()
    assert len(everything) > 25
    asked = [command for command in commands if command.name not in ("check", "version", "help")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        taken = {command.name: [pool.submit(is_taken, command.name, option) for option in everything]
                 for command in asked}
        for command in asked:
            real = {option for option, one in zip(everything, taken[command.name]) if one.result()}
            assert real == {name for option in command.options for name in option.names}, command.name


def test_check_and_main_know_what_help_says(commands):
    source = (ROOT / "edge/cli/cmd_check.c").read_text(encoding="utf-8")
    known = set(re.findall(r'"(-\w|--[a-z][a-z-]*[a-z])"', source))
    check = next(command for command in commands if command.name == "check")
    assert known == {name for option in check.options for name in option.names}
    table = (ROOT / "edge/cli/main.c").read_text(encoding="utf-8")
    assert re.findall(r'^    \{"([a-z-]+)", cmd_', table, re.M) == [command.name for command in commands]


def test_an_option_that_help_lacks_is_noticed(commands):
    """The completions offer exactly the words that the tests above compare."""
    short = [command for command in commands if command.name == "preview"]
    assert "--label" in completion.bash(short)
    short[0] = cli_help.Command("preview", "", short[0].usage, [], short[0].options[:1])
    for make in SHELLS:
        assert "label" not in make(short)


def bash_offers(made, *words):
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _boxedge; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    return run("bash", "-c", script, "bash", made / "boxedge.bash", *words).stdout.split()


def fish_offers(made, *words):
    need("fish")
    line = " ".join(words[:-1]) + " " + words[-1]
    listed = run("fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]', made / "boxedge.fish", line).stdout
    return [row.split("\t")[0] for row in listed.splitlines()]


def zsh_offers(made, *words):
    """As at a terminal: the line, and Tab."""
    need("zsh")
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", PS1="", COLUMNS="200", LINES="100", FPATH_MORE=str(made))
        os.execvp("zsh", ["zsh", "-f", "-i"])
    setup = ("unset zle_bracketed_paste; PROMPT=; fpath=($FPATH_MORE $fpath); autoload -U compinit; compinit -u -D; "
             "stty cols 200 rows 200; LISTMAX=0; zstyle ':completion:*' list-separator '#'; setopt no_auto_menu "
             "no_always_last_prompt no_list_types; listed() { zle list-choices; zle -R; zle -I; print -r LISTED''NOW; }; "
             "zle -N listed; bindkey '^I' listed; zle-line-init() { zle -I; print -r READY''NOW; }; zle -N zle-line-init\n")
    try:
        os.write(fd, setup.encode())
        read_until(fd, b"READYNOW")  # the editor reads from here on: the terminal itself echoes nothing
        os.write(fd, (" ".join(words) + "\t").encode())
        # zsh shows no list while more input waits: the widget reports the list.
        return read_until(fd, b"LISTEDNOW").split()
    finally:
        os.close(fd)
        os.waitpid(pid, 0)


def read_until(fd, mark):
    got, deadline = b"", time.monotonic() + PATIENCE * SLOW
    while mark not in got:
        assert time.monotonic() < deadline, got
        got += os.read(fd, 65536)
    return got.decode(errors="replace")


OFFERS = {"bash": bash_offers, "fish": fish_offers, "zsh": zsh_offers}


@pytest.mark.parametrize("shell", OFFERS)
@pytest.mark.parametrize("words, offered, withheld", [
    (("boxedge", ""), {"run", "check", "preview", "demo-app", "help"}, {"create", "--json"}),
    (("boxedge", "preview", ""), {"create", "update", "list", "delete"}, {"run", "logs"}),
    (("boxedge", "unblock", ""), {"box", "preview", "cidr"}, {"list"}),
    (("boxedge", "preview", "list", "--"), {"--box", "--json", "--socket"}, {"--bearer", "--alias"}),
    (("boxedge", "preview", "create", "--"), {"--alias", "--allow-origin", "--label"}, {"--box", "--no-basic"}),
    (("boxedge", "box", "logs", "--"), {"--lines", "--follow"}, {"--stdin"}),
    (("boxedge", "block", "box", "--"), {"--json"}, {"--lines"}),
    (("boxedge", "preview", "create", "--protocol", ""), {"http1", "h2c"}, {"public"}),
    (("boxedge", "run", "--"), {"--config", "--foreground"}, {"--socket"}),
    (("boxedge", "reload", "--config", "/etc/host"), {"hostname"}, {"--socket"}),
])
def test_a_shell_offers(made, shell, words, offered, withheld):
    listed = OFFERS[shell](made, *words)
    names = {word.removeprefix("/etc/").rstrip("=") for word in listed}
    assert offered <= names and not withheld & names, listed
