# SPDX-License-Identifier: Apache-2.0
"""Nothing after `upstream/` and `tree/` asks of which family a package is; in `tree/` one module does.

The import contract keeps the families' modules away from the rest. Here: no name of a family's model, no `family`
of an upstream, and no text that is a family's name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/zaffre"
FOLDERS = ("image", "trust", "machine", "cli", "tree")
THE_FAMILIES_OWN = ("tree/deb", "tree/rpm")
THE_PLACE = "tree/configure.py"

_NAMES = {"DebUpstream", "RpmUpstream", "DebFamily", "RpmFamily", "Family", "FamilyName"}
_WORDS = {"deb", "rpm"}


def asks(tree: ast.AST) -> Iterator[str]:
    """What of a module's code asks for the family, by line."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="family"):
                yield f"{node.lineno}: .family"
            case ast.Name(id=name) if name in _NAMES:
                yield f"{node.lineno}: {name}"
            case ast.Constant(value=str(text)) if text in _WORDS:
                yield f"{node.lineno}: {text!r}"


def modules() -> list[str]:
    found = [path.relative_to(SOURCE).as_posix() for folder in FOLDERS for path in (SOURCE / folder).rglob("*.py")]
    return sorted(path for path in found if not path.startswith(THE_FAMILIES_OWN) and path != THE_PLACE)


@pytest.mark.parametrize("module", modules())
def test_no_module_asks_for_the_family(module: str) -> None:
    assert list(asks(ast.parse((SOURCE / module).read_text("utf-8")))) == []


def test_one_place_does() -> None:
    """Also: what is looked for would be found."""
    assert list(asks(ast.parse((SOURCE / THE_PLACE).read_text("utf-8"))))
    assert list(asks(ast.parse('if upstream.family == "rpm": pass'))) == ["1: .family", "1: 'rpm'"]
