# SPDX-License-Identifier: Apache-2.0
"""What a step of a build is, as values: its inputs, its key, its result, and why it had to be run.

Pure. The key of an action is the SHA-256 of the canonical JSON of its kind and its inputs; label and
reason are for people and are not in the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NewType

from zaffre.digest import JSON, Sha256, canonical_json, sha256_json

ActionKey = NewType("ActionKey", str)
"""64 lower-case hexadecimal digits, unique for a kind of action and all of its inputs."""

_LONGEST_VALUE = 60
_MOST_ITEMS = 12


@dataclass(frozen=True)
class Action:
    """One step. `inputs` must hold everything that the result depends on, tool versions included.

    `label` names the step in the same words from build to build ("configure container-host"), so that
    the inputs of the last time can be found and compared. `reason` says why the step exists.
    """

    kind: str
    label: str
    inputs: Mapping[str, JSON]
    reason: str

    @property
    def key(self) -> ActionKey:
        return ActionKey(sha256_json({"kind": self.kind, "inputs": self.inputs}))


@dataclass(frozen=True)
class ActionResult:
    """Names of outputs to blobs in the store, and small facts that are worth keeping beside them."""

    outputs: Mapping[str, Sha256]
    facts: Mapping[str, JSON]


@dataclass(frozen=True)
class Performed:
    """How an action came to its result in this run. Seconds are those of this run, so about 0 when `cached`.

    `cpu_seconds` is what the whole process and its ended children used meanwhile: actions that run in
    parallel in one process each see the others' share, so time the group (`Stopwatch`) and not the sum.
    `why` says which inputs changed since the label's last run; empty when cached.
    """

    result: ActionResult
    cached: bool
    wall_seconds: float
    cpu_seconds: float
    why: tuple[str, ...] = ()


def explain_difference(old: Mapping[str, JSON] | None, new: Mapping[str, JSON]) -> list[str]:
    """One line for each input that differs, in the order of the names; empty when nothing differs.

    `old` is None when the label was never built in this store.
    """
    if old is None:
        return ["not built before in this store"]
    return _differences("", old, new)


def _differences(path: str, old: JSON, new: JSON) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines: list[str] = []
        for name in sorted(old.keys() | new.keys()):
            here = f"{path}.{name}" if path else name
            if name not in old:
                lines.append(f"{here}: added {_short(new[name])}")
            elif name not in new:
                lines.append(f"{here}: removed, was {_short(old[name])}")
            else:
                lines += _differences(here, old[name], new[name])
        return _cut(lines) if path else lines
    if _is_list(old) and _is_list(new):
        return _list_differences(path, old, new)
    if canonical_json(old) == canonical_json(new):
        return []
    return [f"{path}: {_short(old)} -> {_short(new)}"]


def _is_list(value: JSON) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _list_differences(path: str, old: JSON, new: JSON) -> list[str]:
    before = {canonical_json(item): item for item in old} if isinstance(old, Sequence) else {}
    after = {canonical_json(item): item for item in new} if isinstance(new, Sequence) else {}
    lines = [f"{path}: removed {_short(item)}" for key, item in before.items() if key not in after]
    lines += [f"{path}: added {_short(item)}" for key, item in after.items() if key not in before]
    if not lines and canonical_json(old) != canonical_json(new):
        lines = [f"{path}: the order changed"]
    return _cut(lines)


def _cut(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_ITEMS:
        return lines
    return [*lines[:_MOST_ITEMS], f"… and {len(lines) - _MOST_ITEMS} more"]


def _short(value: JSON) -> str:
    text = value if isinstance(value, str) else canonical_json(value).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
