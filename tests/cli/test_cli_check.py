# SPDX-License-Identifier: Apache-2.0
"""From which earlier build a check may begin."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.releases import make_build
from support.shell import Shell
from zaffre.cli.checking import step_between
from zaffre.definition import reference_root
from zaffre.errors import DefinitionError, ExitCode
from zaffre.machine.judging import Step
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.trust import Keys
from zaffre.trust.generate import init_keys


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("keys") / "keys", owner="Tiny", now=datetime.now(UTC))


def manifest(folder: Path, owner: Keys, version: str, **changes: object) -> Manifest:
    build = make_build(folder, owner, version, **changes)
    return Manifest.model_validate_json((build / MANIFEST_NAME).read_bytes())


def test_it_begins_with_an_earlier_version_of_the_same(tmp_path: Path, owner: Keys) -> None:
    old, new = (manifest(tmp_path, owner, version) for version in ("1.20261124.9", "1.20261124.10"))
    assert step_between(old, new, tmp_path) == Step("host", "1.20261124.9", "1.20261124.10")


@pytest.mark.parametrize(
    ("version", "changes", "says"),
    [
        ("1.2", {}, "1.2 is not later than 1.2"),
        ("1.3", {}, "1.2 is not later than 1.3"),
        ("1.1", {"architecture": "arm64"}, "that is host for arm64, and what is checked is host for amd64"),
        ("1.1", {"image": "other"}, "that is other for amd64"),
        ("1.1", {"kind": "server"}, "that is host for amd64"),
    ],
)
def test_it_begins_with_nothing_else(
    tmp_path: Path, owner: Keys, version: str, changes: Mapping[str, object], says: str
) -> None:
    old = manifest(tmp_path / "old", owner, version, **changes)
    with pytest.raises(DefinitionError, match=says):
        step_between(old, manifest(tmp_path / "new", owner, "1.2"), tmp_path)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("server", "'server' is not updated in slots"),
        ("check", "'check' is not updated in slots"),
        ("container-host", "no build to start from"),
    ],
)
def test_nothing_is_built_for_what_cannot_begin(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, image: str, says: str
) -> None:
    zaffre = Shell(capsys)
    places = ("--distro", reference_root(), "--store", tmp_path / "store", "--keys", tmp_path / "keys")
    assert zaffre(*places, "check", image, "--from", tmp_path) == ExitCode.USAGE
    assert says in zaffre.err


def test_a_file_for_wsl_is_not_updated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    zaffre = Shell(capsys)
    (tmp_path / "other.wsl").touch()
    places = ("--distro", reference_root(), "--store", tmp_path / "store")
    assert zaffre(*places, "check", tmp_path / "other.wsl", "--from", tmp_path) == ExitCode.USAGE
    assert "a .wsl file is not updated" in zaffre.err
