# SPDX-License-Identifier: Apache-2.0
"""The real command line, as the documentation tells it: which commands there are, and the options of each.

Run as a program, it writes the tables of options in docs/reference-cli.md anew, from what `--help` is made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from zaffre.cli.app import make_app
from zaffre.cli.context import Workspace
from zaffre.cli.entry import globals_first

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference-cli.md"

_TABLE = re.compile(r"(<!-- options: (?P<command>[a-z ]+) -->\n).*?(<!-- /options -->)", re.DOTALL)


def program() -> Any:
    """The program's own group of commands."""
    return typer.main.get_command(make_app())


@cache
def commands() -> dict[str, Any]:
    """Every command by its words ("keys init"), and the program itself as "zaffre"; groups are not commands."""
    return {"zaffre": program(), **dict(_below(program(), ()))}


def _below(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def options(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "option" and one.name != "help"]


def arguments(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "argument"]


def table(command: Any) -> str:
    """Arguments and options of a command, as Markdown."""
    rows = [(f"`{one.metavar or one.name.upper()}`", one.help) for one in arguments(command)]
    rows += [(_spelled(one), _told(one)) for one in options(command)]
    cells = [(left.replace("|", "\\|"), right.replace("|", "\\|").replace("<", "&lt;")) for left, right in rows]
    return "\n".join(["| | |", "|---|---|", *(f"| {left} | {right} |" for left, right in cells)])


def _spelled(option: Any) -> str:
    value = f" {option.metavar}" if option.metavar else ""
    return ", ".join(f"`{name}{value}`" for name in sorted(option.opts, key=len))


def _told(option: Any) -> str:
    default = "" if option.is_flag or option.default in (None, [], ()) else f" Default: `{option.default}`."
    variable = f" Environment: `{option.envvar}`." if option.envvar else ""
    return f"{option.help}{default}{variable}"


def with_tables(page: str) -> str:
    """The page with every table of options as the program has it now."""
    known = commands()

    def fresh(match: re.Match[str]) -> str:
        return f"{match[1]}\n{table(known[match['command']])}\n\n{match[3]}"

    return _TABLE.sub(fresh, page)


def told_commands(page: str) -> list[str]:
    return [match["command"] for match in _TABLE.finditer(page)]


def fault_of(words: Sequence[str]) -> str | None:
    """What the program would say against a command line, without running it; `words` are what follows `zaffre`.

    A file that is not there is no fault of the line.
    """
    group = _idle_program()
    try:
        group(args=globals_first(words), prog_name="zaffre", obj=Workspace(), standalone_mode=False)
    except typer.BadParameter.__bases__[0] as error:
        said = str(error.format_message())
        return None if "does not exist" in said else said
    except Exception as error:
        if type(error).__name__ != "NoArgsIsHelpError":
            raise
        return "a command is missing"
    return None


@cache
def _idle_program() -> Any:
    """The program, none of whose commands does anything. It is made once: there are hundreds of lines to hold it to."""
    group = program()
    for command in _all(group):
        command.callback = _nothing
    return group


def _all(command: Any) -> Iterator[Any]:
    yield command
    for one in getattr(command, "commands", {}).values():
        yield from _all(one)


def _nothing(*_: object, **__: object) -> None:
    """In the place of what a command does."""


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
