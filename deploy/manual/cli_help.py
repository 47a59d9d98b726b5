"""The commands of boxedge as their help shows them: the source of boxedge(1) and of the completions.

Help has three kinds of blocks, which an empty line separates: the usage (a line for each verb), paragraphs, and
options. An option line is "  -n, --name VALUE  text"; lines that begin deeper continue the text."""

import dataclasses
import re
import subprocess

USAGE = re.compile(r"^(?:usage:|      ) boxedge (\S.*?)(?:  +(\S.*))?$")
OPTION = re.compile(r"^ {2,6}(?:(-\w), )?(--[\w-]+)(?: (\S+))?(?: +(.*))?$")
SIGNAL = re.compile(r"^  ([A-Z][A-Z0-9, ]+?)  +(\S.*)$")
# "(create, update)" at the end of an option's text, and "logs: " at its begin.
VERBS_AT_END = re.compile(r"\(([a-z, -]+)\)$")
VERB_AT_BEGIN = re.compile(r"^([a-z]+): ")


@dataclasses.dataclass
class Option:
    name: str
    short: str
    value: str  # "" for a flag
    text: str
    verbs: list  # that take it; empty for all

    @property
    def names(self):
        return [name for name in (self.short, self.name) if name]

    @property
    def choices(self):
        """ "public|localhost" names all values."""
        return self.value.split("|") if "|" in self.value else []

    @property
    def is_file(self):
        return self.value in ("FILE", "PATH")


@dataclasses.dataclass
class Command:
    name: str
    summary: str
    usage: list = dataclasses.field(default_factory=list)  # (synopsis without "boxedge", text)
    paragraphs: list = dataclasses.field(default_factory=list)
    options: list = dataclasses.field(default_factory=list)
    signals: list = dataclasses.field(default_factory=list)  # (names, text)

    @property
    def verbs(self):
        """(verb, text) in the order of help: a word in lower case behind the command's name."""
        found = {}
        for synopsis, text in self.usage:
            words = synopsis.split()
            if len(words) > 1 and re.fullmatch(r"[a-z-]+", words[1]) and not words[1].startswith("-"):
                found.setdefault(words[1], text)
        return list(found.items())

    def takes(self, option, verb):
        return not option.verbs or verb in option.verbs


def _output_of(binary, *words):
    return subprocess.run([binary, *words], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
                          timeout=60).stdout


def _limit_to_verbs(command):
    """The verbs that take an option, if its text names them."""
    names = {verb for verb, _ in command.verbs}
    for option in command.options:
        found = VERBS_AT_END.search(option.text) or VERB_AT_BEGIN.search(option.text)
        verbs = found[1].split(", ") if found else []
        if set(verbs) <= names:
            option.verbs = verbs


def _take_line(command, line, block):
    """Returns the kind of the block that continues: "usage", "option", "signal", "text" or "" behind an empty
    line."""
    option, signal = OPTION.match(line), SIGNAL.match(line)
    if not line.strip():
        return ""
    if USAGE.match(line) and block in ("", "usage"):
        synopsis, text = USAGE.match(line).groups()
        command.usage.append([synopsis, text or ""])
        return "usage"
    if block == "usage":
        command.usage[-1][1] += " " + line.strip()
        return block
    if option:
        short, name, value, text = option.groups()
        command.options.append(Option(name, short or "", value or "", (text or "").strip(), []))
        return "option"
    if block == "option":
        command.options[-1].text = (command.options[-1].text + " " + line.strip()).strip()
        return block
    if signal:
        command.signals.append(signal.groups())
        return "signal"
    if block == "text":
        command.paragraphs[-1] += " " + line.strip()
    else:
        command.paragraphs.append(line.strip())
    return "text"


def _parse(name, summary, text):
    command, block = Command(name, summary), ""
    for line in text.splitlines():
        block = _take_line(command, line, block)
    command.paragraphs = [one for one in command.paragraphs if one != "Signals:"]
    if not any(option.name == "--help" for option in command.options):
        command.options.append(Option("--help", "-h", "", "print the help of this command", []))
    _limit_to_verbs(command)
    return command


def read_commands(binary):
    rows = re.findall(r"^  ([a-z-]+) +(\S.*)$", _output_of(binary, "--help"), re.M)
    if not rows:
        raise SystemExit(f"{binary}: its help names no command")
    return [Command(name, summary) if name == "help" else _parse(name, summary, _output_of(binary, name, "--help"))
            for name, summary in rows]


def read_version(binary):
    return _output_of(binary, "version").split()[-1]


def read_reference(binary):
    """Every key of the configuration, in Markdown."""
    return _output_of(binary, "check", "--print-reference")
