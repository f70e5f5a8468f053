# SPDX-License-Identifier: Apache-2.0
"""requirements.lock answers pyproject.toml, pins by hash, and names no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def locked() -> dict[str, str]:
    """Each locked package's block of lines."""
    text = (ROOT / "requirements.lock").read_text("utf-8")
    blocks = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    return {canonicalize_name(block.split("==")[0].strip()): block for block in blocks}


def wanted() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
    ]


@pytest.mark.parametrize("text", wanted())
def test_every_dependency_is_locked_within_its_range(text: str) -> None:
    requirement = Requirement(text)
    block = locked().get(canonicalize_name(requirement.name))
    assert block is not None, f"{requirement.name} is not locked: make lock-python"
    version = re.match(r"\S+==(\S+)", block)
    assert version is not None
    assert Version(version[1]) in requirement.specifier


def test_every_package_has_hashes() -> None:
    blocks = locked()
    assert len(blocks) > 20
    assert [name for name, block in blocks.items() if "--hash=sha256:" not in block] == []


def test_no_host_is_named() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in text
    assert "index" not in text
