# SPDX-License-Identifier: Apache-2.0
"""apt's reasons for refusing a set of packages, in plain words.

The table of unmet dependencies is apt's since its beginnings; apt 3 adds the trace of its new solver. The
table lists followers too ("it is not installable" for what fell with the cause), so exclusions go first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEAD = "The following packages have unmet dependencies:"
_ROW = re.compile(r" (?P<package>\S+) : (?P<rest>.*)")
_CLAUSE = re.compile(r"(?P<kind>Depends|PreDepends|Pre-Depends|Conflicts|Breaks|Recommends): (?P<what>.*)")
_BUT = re.compile(
    r"(?P<name>\S+(?: \([^)]*\))?)"
    r"(?: but (?P<found>\S+) is (?:to be )?installed"
    r"| but it is not (?:going to be )?(?:installed|installable)"
    r"| but it is (?P<virtual>a virtual package))?(?P<more> or)?\s*\Z"
)
_MOST_LINES = 30


def plain_reason(stdout: str, stderr: str) -> str:
    """Sentences that say who excludes or lacks whom; below them what apt itself said."""
    exclusions: dict[frozenset[str], str] = {}
    needs: list[str] = []
    kind = ""
    pending: list[tuple[str, str]] = []
    for package, line in _rows(stdout):
        clause = _CLAUSE.match(line)
        kind = clause["kind"] if clause else kind
        match = _BUT.match(clause["what"] if clause else line)
        if match is None:
            continue
        other = match["name"]
        if kind in {"Conflicts", "Breaks"}:
            pair = frozenset({package, other.partition(" ")[0]})
            exclusions.setdefault(pair, f"{package} and {other} exclude each other")
            continue
        pending.append((other, _fate(match)))
        if not match["more"]:
            needs.append(f"{package} needs {_alternatives(pending)}")
            pending = []
    own = [re.sub(r"\A[EW]: ", "", line) for line in stderr.splitlines() if line.strip()]
    own = [line for line in own if "held broken packages" not in line]
    sentences = list(dict.fromkeys([*exclusions.values(), *needs]))
    if own:
        sentences += ["apt's own words:", *(f"  {line}" for line in own[:_MOST_LINES])]
    return "\n".join(sentences) or stdout.strip()[-2000:]


def _rows(stdout: str) -> Iterator[tuple[str, str]]:
    """Package and clause of each line of the table; a package is only named in the first of its lines."""
    _, _, table = stdout.partition(_HEAD)
    package = ""
    for line in table.splitlines():
        if row := _ROW.match(line):
            package = row["package"].partition(":")[0]
            yield package, row["rest"].strip()
        elif line.startswith("  ") and package:
            yield package, line.strip()


def _fate(match: re.Match[str]) -> str:
    if match["found"]:
        return f"but {match['found']} would be installed"
    return "which is only a virtual package" if match["virtual"] else "which cannot be installed with the others"


def _alternatives(pending: list[tuple[str, str]]) -> str:
    if len(pending) > 1 and len({fate for _, fate in pending}) == 1 and not pending[0][1].startswith("but"):
        return f"one of {', '.join(name for name, _ in pending)}, {pending[0][1]}"
    return " or ".join(f"{name}, {fate}" for name, fate in pending)
