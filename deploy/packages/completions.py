"""Write completions for bash, zsh and fish. They contain all words, so they start no Python."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from command_tree import CommandNode, CommandOption


def write_completions(tree: CommandNode, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("twite.bash", bash(tree)),
        ("_twite", zsh(tree)),
        ("twite.fish", fish(tree)),
    ):
        folder.joinpath(name).write_text(text, "utf-8")


def _nodes(tree: CommandNode) -> Iterator[tuple[str, CommandNode]]:
    """Yield each command with its path: "" for twite, then "user" and "user add"."""
    yield "", tree
    for command in tree.below:
        yield command.name, command
        for below in command.below:
            yield f"{command.name} {below.name}", below


def _switches(node: CommandNode) -> list[CommandOption]:
    return [option for option in node.options if not option.is_argument]


def _takes_file(node: CommandNode) -> bool:
    return any(option.is_file for option in node.options if option.is_argument)


_BASH_HEAD = """\
# Completion of twite for bash.
_twite() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path= word
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$path/$word" in
"""
_BASH_END = """\
    esac
    local IFS=$'\\n'
    if [[ $files && $current != -* ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "${words// /$'\\n'}" -- "$current"))
    fi
}
complete -F _twite twite
"""


def bash(tree: CommandNode) -> str:
    lines = [_BASH_HEAD]
    for path, _ in _nodes(tree):
        if path:
            above, _, name = path.rpartition(" ")
            lines.append(f'            "{above}/{name}") path={shlex.quote(path)} ;;\n')
    lines.append('        esac\n    done\n    local words= files=\n    case "$path/$previous" in\n')
    for path, node in _nodes(tree):
        for option in _switches(node):
            if option.value:
                names = "|".join(f'"{path}/{name}"' for name in option.names)
                effect = "files=1" if option.is_file else f'words="{" ".join(option.choices)}"'
                lines.append(f"        {names}) {effect} ;;\n")
    for path, node in _nodes(tree):
        words = [name for option in _switches(node) for name in option.names]
        words += [below.name for below in node.below]
        files = " files=1" if _takes_file(node) else ""
        lines.append(f'        "{path}/"*) words="{" ".join(words)}"{files} ;;\n')
    return "".join((*lines, _BASH_END))


def zsh(tree: CommandNode) -> str:
    parts = ["#compdef twite\n"]
    for path, node in _nodes(tree):
        function = "_".join(("_twite", *path.replace("-", "_").split()))
        specs = [spec for option in node.options for spec in _zsh_specs(option)]
        if node.below:
            specs += [shlex.quote("1: :->command"), shlex.quote("*:: :->rest")]
        arguments = " \\\n        ".join(("-s", *specs))
        body = "    local context state state_descr line\n    typeset -A opt_args\n"
        body += f"    _arguments {arguments}\n"
        if node.below:
            listed = " ".join(
                shlex.quote(f"{below.name}:{below.summary.replace(':', ' ')}")
                for below in node.below
            )
            cases = "".join(
                f"                {below.name}) {function}_{below.name.replace('-', '_')} ;;\n"
                for below in node.below
            )
            body += (
                f"    case $state in\n        command)\n            local -a commands=({listed})\n"
                "            _describe command commands ;;\n        rest)\n"
                f"            case $line[1] in\n{cases}            esac ;;\n    esac\n"
            )
        parts.append(f"{function}() {{\n{body}}}\n")
    return "\n".join(
        (
            *parts,
            'if [ "$funcstack[1]" = _twite ]; then _twite "$@"; else compdef _twite twite; fi\n',
        )
    )


def _zsh_specs(option: CommandOption) -> list[str]:
    action = (
        "_files" if option.is_file else f"({' '.join(option.choices)})" if option.choices else " "
    )
    value = option.value.translate(str.maketrans(":[]", "   "))
    about = option.help.translate({ord(":"): "\\:", ord("["): "\\[", ord("]"): "\\]"})
    if option.is_argument:
        return [shlex.quote(f"*:{value}:{action}")]
    follows = f":{value}:{action}" if option.value else ""
    return [shlex.quote(f"*{name}[{about}]{follows}") for name in option.names]


_FISH_HEAD = """\
# Completion of twite for fish.
function __twite_path
    set -l path
    for word in (commandline -opc)[2..-1]
        switch "$path/$word"
%s        end
    end
    echo "$path"
end
complete -c twite -f
"""


def fish(tree: CommandNode) -> str:
    cases = ""
    for path, _ in _nodes(tree):
        if path:
            above, _, name = path.rpartition(" ")
            cases += f'            case "{above}/{name}"\n                set path "{path}"\n'
    lines = [_FISH_HEAD % cases]
    for path, node in _nodes(tree):
        here = f"complete -c twite -n 'test (__twite_path) = \"{path}\"'"
        lines += [
            f"{here} -a {below.name} -d {_fish_quoted(below.summary)}\n" for below in node.below
        ]
        if _takes_file(node):
            lines.append(f"{here} -F\n")
        for option in _switches(node):
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in option.names
            )
            value = ""
            if option.value:
                value = " -r -F" if option.is_file else f" -x -a '{' '.join(option.choices)}'"
            lines.append(f"{here} {names}{value} -d {_fish_quoted(option.help)}\n")
    return "".join(lines)


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
