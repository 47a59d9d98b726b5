"""The manual pages, in roff (man(7)): boxedge(1) from the help of every command, boxedge.yaml(5) from the reference of
the key table."""

import re

ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \| (.*?) \| (.*) \|$")
HEADING = re.compile(r"^(#{1,3}) (.*)$")

SYNOPSIS = r""".SH NAME
boxedge \- public edge of a fleet of sandboxes
.SH SYNOPSIS
.B boxedge
.I COMMAND
.RI [ OPTION ]...
.SH DESCRIPTION
boxedge serves the ports of boxes (processes, containers, virtual machines) at public HTTPS addresses.
It wakes a sleeping box on its first request.
.B boxedge run
is the edge itself; most other commands talk to a running edge through its admin socket.
"""
END = r""".SH EXIT STATUS
.TP
.B 0
The command did all of it.
.TP
.B 1
The edge does not run, or it refused; the reason is on standard error.
.TP
.B 2
The command line is wrong.
.TP
.B 3
It is done, but a part is missing, such as output that could not be written; the reason is on standard error.
.SH ENVIRONMENT
.TP
.B BOXEDGE_SOCKET
The admin socket, for commands without
.B \-\-config
and
.BR \-\-socket .
.SH FILES
.TP
.I /etc/boxedge/boxedge.yaml
The configuration, described in
.BR boxedge.yaml (5).
.TP
.I /var/lib/boxedge
The state: previews, keys, the local authority.
.TP
.I /run/boxedge
The lock, the admin socket and box states.
.SH SEE ALSO
.BR boxedge.yaml (5)
"""
FILE_HEAD = r""".SH NAME
boxedge.yaml \- configuration of boxedge
.SH SYNOPSIS
.I /etc/boxedge/boxedge.yaml
.SH DESCRIPTION
"""
FILE_END = r""".SH SEE ALSO
.BR boxedge (1)
"""


def plain(text):
    """Text that roff reads unchanged."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("^", r"\(ha").replace("~", r"\(ti").replace('"', r"\(dq")
    text = text.replace("`", r"\(ga").replace("'", r"\(aq").replace("…", r"\&...").replace("–", r"\(en")
    return r"\&" + text if text.startswith(".") else text


def marked(text):
    """Text with `code`, which becomes bold."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(rf"\fB{plain(part)}\fR" if number % 2 else plain(part) for number, part in enumerate(parts))


def heading(section, version):
    return f'.\\" Generated from the program: do not edit.\n.TH {section} "boxedge {version}" "boxedge"\n'


# ---- boxedge(1)

def synopsis_of(words):
    """Commands and options bold, placeholders of values in italics."""
    return " ".join(rf"\fI{plain(word)}\fR" if re.search(r"[A-Z]", word) else rf"\fB{plain(word)}\fR"
                    for word in words.split())


def option_lines(option):
    names = ", ".join(rf"\fB{plain(name)}\fR" for name in option.names)
    value = rf" \fI{plain(option.value)}\fR" if option.value else ""
    return f".TP\n{names}{value}\n{marked(option.text[:1].upper() + option.text[1:])}.\n".replace("..\n", ".\n")


def command_lines(command):
    out = f".SS {command.name}\n{marked(command.summary[:1].upper() + command.summary[1:])}.\n"
    for synopsis, text in command.usage:
        out += f".TP\n{synopsis_of('boxedge ' + synopsis)}\n{marked(text) or chr(92) + '&'}\n"
    for paragraph in command.paragraphs:
        out += f".PP\n{marked(paragraph)}\n"
    for option in command.options:
        out += option_lines(option)
    if command.signals:
        out += ".PP\nSignals:\n"
    for names, text in command.signals:
        out += f".TP\n\\fB{plain(names)}\\fR\n{marked(text)}\n"
    return out


def program_page(commands, version):
    return (heading('BOXEDGE 1 ""', version) + SYNOPSIS + ".SH COMMANDS\n" + "".join(map(command_lines, commands))
            + END)


# ---- boxedge.yaml(5)

def row_lines(row):
    name, allowed, fallback, meaning = row.groups()
    fallback = "Required" if fallback == "required" else f"Default: {fallback}"
    return (f".TP\n.B {plain(name)}\n{marked(meaning)}\n.br\nAllowed: {marked(allowed)}.\n.br\n{marked(fallback)}.\n")


def title_lines(level, title):
    if level == 1:
        return FILE_HEAD
    title = title.replace("`", "")
    return f".SS {plain(title)}\n" if level == 3 else f".SH {plain(title.upper())}\n"


class Reference:
    """Turns the reference in Markdown into roff, line by line."""

    def __init__(self):
        self.out, self.text, self.in_code = "", [], False

    def flush(self, before=".PP\n"):
        if self.text:
            self.out += before + marked(" ".join(self.text)) + "\n"
        self.text = []

    def take(self, line):
        title, row = HEADING.match(line), ROW.match(line)
        if line.startswith("```"):
            self.flush()
            self.in_code = not self.in_code
            self.out += ".PP\n.nf\n" if self.in_code else ".fi\n"
        elif self.in_code:
            self.out += plain(line).replace(", {", ",\n  {") + "\n"
        elif title:
            self.flush()
            self.out += title_lines(len(title[1]), title[2])
        elif row:
            self.out += row_lines(row)
        elif line.startswith("|") or not line:
            self.flush()
        elif line.startswith("- "):
            self.flush()
            self.out += ".IP \\(bu 2\n"
            self.text = [line[2:]]
        else:
            self.text.append(line.strip())


def flush_items(text):
    """A paragraph that begins an item needs no separate .PP."""
    return text.replace(".IP \\(bu 2\n.PP\n", ".IP \\(bu 2\n")


def file_page(markdown, version):
    reference = Reference()
    for line in markdown.splitlines():
        if not line.startswith("This page is generated"):
            reference.take(line)
    reference.flush()
    return heading('BOXEDGE.YAML 5 ""', version) + flush_items(reference.out) + FILE_END
