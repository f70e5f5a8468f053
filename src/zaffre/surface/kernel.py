# SPDX-License-Identifier: Apache-2.0
"""How a kernel is hardened: its build options, its command line and its settings, held against `kernel.toml`.

Pure. What is judged is what the image says, and not a running machine: a setting that nobody makes counts as absent,
whatever the kernel's own default is.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

ABSENT = "absent"
OFF = "n"

_LINE = re.compile(r"CONFIG_(?P<name>\w+)=(?P<value>.*)")
_VERSION = re.compile(r"^# Linux/\S+ (?P<version>\S+) Kernel Configuration$", re.MULTILINE)


class Part(StrEnum):
    """Who says it: the configuration that the kernel was built with, its command line, sysctl.d(5)."""

    OPTION = "option"
    WORD = "word"
    SETTING = "setting"


class _Rule(BaseModel):
    """One table of `kernel.toml`, which says what the keys mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Annotated[Part, Field(strict=False)]
    why: str
    wanted: tuple[str, ...]
    names: tuple[str, ...]
    options: tuple[str, ...] = ()
    where: str | None = None


class KernelLack(BaseModel):
    """What a kernel should have, and has not. `wanted` are the values that would do, and `why` is what they stop."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: Part
    name: str
    wanted: tuple[str, ...]
    found: str
    why: str


class KernelJudgement(BaseModel):
    """Of so many checks, those that do not hold. `version` is what the configuration says that it is of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    checks: int
    lacking: tuple[KernelLack, ...]


_RULES = TypeAdapter(tuple[_Rule, ...])


def judge_kernel(
    configuration: str, *, command_line: Sequence[str], settings: Mapping[str, str]
) -> KernelJudgement | None:
    """`configuration` is the text of the kernel's .config; None if it is none. `settings` are those of sysctl.d(5)."""
    version = _VERSION.search(configuration)
    options = dict(_options(configuration))
    if version is None or not options:
        return None
    words = _words(command_line)
    said = {Part.OPTION: (options, OFF), Part.WORD: (words, ABSENT), Part.SETTING: (settings, ABSENT)}
    checks, lacking = 0, []
    for rule in _rules():
        if rule.where is not None and options.get(rule.where, OFF) != "y":
            continue
        values, otherwise = said[rule.kind]
        for name in rule.names:
            checks += 1
            found = values.get(name, otherwise)
            by_itself = found == ABSENT and any(_holds(option, options) for option in rule.options)
            if found not in rule.wanted and not by_itself:
                shown = f"CONFIG_{name}" if rule.kind is Part.OPTION else name
                lack = KernelLack(part=rule.kind, name=shown, wanted=rule.wanted, found=found, why=rule.why)
                lacking.append(lack)
    return KernelJudgement(version=version["version"], checks=checks, lacking=tuple(lacking))


@cache
def _rules() -> tuple[_Rule, ...]:
    text = resources.files("zaffre.surface").joinpath("kernel.toml").read_text("utf-8")
    return _RULES.validate_python(tomllib.loads(text)["check"])


def _options(configuration: str) -> Iterator[tuple[str, str]]:
    for line in configuration.splitlines():
        if match := _LINE.fullmatch(line.strip()):
            yield match["name"], match["value"].strip('"')


def _words(command_line: Sequence[str]) -> dict[str, str]:
    """By name; the last of a name counts, and a word without a value is the name alone (kernel-parameters.rst)."""
    return {name: value for name, _, value in (word.partition("=") for word in command_line)}


def _holds(option: str, options: Mapping[str, str]) -> bool:
    name, _, value = option.partition("=")
    return options.get(name, OFF) == value
