"""Completions for shells, from the help of every command: commands, their verbs, options and the values of options."""

import re

import cli_help

BASH_HEAD = """# Completion of boxedge for bash. Generated from the program: do not edit.
_boxedge() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    local verb='' verbs='' options='' i
    COMPREPLY=()
    if [ "$COMP_CWORD" -le 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "@COMMANDS@" -- "$cur")
        return
    fi
    # "--name=value" is three words.
    if [ "$cur" = = ]; then cur=''; elif [ "$prev" = = ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == [a-z]* ]]; then verb=${COMP_WORDS[i]}; break; fi
    done
    case "$command:$prev" in
"""
BASH_MIDDLE = """    esac
    case "$command:$verb" in
"""
BASH_END = """    esac
    if [[ $cur == -* || -z $verbs ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur")
    fi
}
complete -F _boxedge boxedge
"""
ZSH_HEAD = """#compdef boxedge
# Completion of boxedge for zsh. Generated from the program: do not edit.
_boxedge() {
    local curcontext=$curcontext state line verb
    local -A opt_args
    local -a commands verbs options
    verb=${words[3,$((CURRENT - 1))][(r)[a-z]*]}
    commands=(
@COMMANDS@    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    case $words[2] in
"""
ZSH_END = """    *)
        return 1
        ;;
    esac
    shift words
    (( CURRENT-- ))
    _arguments -C -S : $options '1: :->first' '*: :->rest'
    if [[ $state == first ]] && (( $#verbs )); then
        _describe verb verbs
    fi
}
_boxedge "$@"
"""
FISH_HEAD = """# Completion of boxedge for fish. Generated from the program: do not edit.
# Whether the command is the first argument, and its verb one of the others, where there are others.
function __boxedge_at
    set -l words (commandline -opc)
    test "$words[2]" = "$argv[1]"; or return 1
    test (count $argv) -gt 1; or return 0
    string match -qr '^[a-z]' -- "$words[3]"; or return 0
    contains -- "$words[3]" $argv[2..-1]
end
# Whether that command has no verb yet.
function __boxedge_needs_verb
    set -l words (commandline -opc)
    test "$words[2]" = "$argv[1]" -a (count $words) -eq 2
end
complete -c boxedge -f
"""


def brief(text):
    """The first words of a sentence of help."""
    text = cli_help.VERB_AT_BEGIN.sub("", text)
    text = re.split(r"; |: | \(|, by default|, which ", text)[0].rstrip(".")
    return text.replace("`", "")


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def names_of(options):
    return " ".join(name for option in options for name in option.names)


# ---- bash

def bash_values(command):
    """The possible words behind an option with a value."""
    out = ""
    for option in command.options:
        if not option.value:
            continue
        names = "|".join(f"{command.name}:{name}" for name in option.names)
        if option.is_file:
            reply = 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return'
        elif option.choices:
            reply = f'mapfile -t COMPREPLY < <(compgen -W "{" ".join(option.choices)}" -- "$cur"); return'
        else:
            reply = "return"
        out += f"    {names}) {reply} ;;\n"
    return out


def bash_words(command):
    out = ""
    for verb, _ in command.verbs:
        options = [option for option in command.options if command.takes(option, verb)]
        out += f"    {command.name}:{verb}) options='{names_of(options)}' ;;\n"
    verbs = " ".join(verb for verb, _ in command.verbs)
    return out + f"    {command.name}:*) verbs='{verbs}' options='{names_of(command.options)}' ;;\n"


def bash(commands):
    names = " ".join(command.name for command in commands)
    return (BASH_HEAD.replace("@COMMANDS@", names) + "".join(map(bash_values, commands)) + BASH_MIDDLE
            + "".join(map(bash_words, commands)) + BASH_END)


# ---- zsh

def zsh_text(text):
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


def zsh_option(option):
    """An argument of _arguments for each of its names; one of them leaves the others out, unless it may be repeated."""
    repeated = "several times" in option.text
    others = "" if repeated else f"({' '.join(option.names)})"
    action = "_files" if option.is_file else f"({' '.join(option.choices)})" if option.choices else " "
    value = f":{zsh_text(option.value)}:{action}" if option.value else ""
    equals = "=" if option.value else ""
    return [quoted(f"{'*' if repeated else others}{name}{equals if name.startswith('--') else ''}"
                   f"[{zsh_text(brief(option.text))}]{value}") for name in option.names]


def zsh_command(command):
    out = f"    {command.name})\n"
    if command.verbs:
        out += "        verbs=(\n"
        out += "".join(f"            {quoted(verb + ':' + brief(text))}\n" for verb, text in command.verbs)
        out += "        )\n"
    out += "        options=(\n"
    for option in command.options:
        if not option.verbs:
            out += "".join(f"            {spec}\n" for spec in zsh_option(option))
    out += "        )\n"
    for option in command.options:
        if option.verbs:
            out += (f"        if [[ -z $verb || $verb == ({'|'.join(option.verbs)}) ]]; then "
                    f"options+=({' '.join(zsh_option(option))}); fi\n")
    return out + "        ;;\n"


def zsh(commands):
    names = "".join(f"        {quoted(command.name + ':' + brief(command.summary))}\n" for command in commands)
    return ZSH_HEAD.replace("@COMMANDS@", names) + "".join(map(zsh_command, commands)) + ZSH_END


# ---- fish

def fish_quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish_option(command, option):
    where = fish_quoted(" ".join(["__boxedge_at", command.name, *option.verbs]))
    short = f" -s {option.short[1:]}" if option.short else ""
    if option.is_file:
        value = " -r -F"
    else:
        value = f" -x -a {fish_quoted(' '.join(option.choices))}" if option.choices else " -x" if option.value else ""
    return f"complete -c boxedge -n {where}{short} -l {option.name[2:]}{value} -d {fish_quoted(brief(option.text))}\n"


def fish(commands):
    out = FISH_HEAD
    for command in commands:
        out += (f"complete -c boxedge -n __fish_use_subcommand -a {command.name} "
                f"-d {fish_quoted(brief(command.summary))}\n")
    for command in commands:
        for verb, text in command.verbs:
            out += (f"complete -c boxedge -n '__boxedge_needs_verb {command.name}' -a {verb} "
                    f"-d {fish_quoted(brief(text))}\n")
        out += "".join(fish_option(command, option) for option in command.options)
    return out
