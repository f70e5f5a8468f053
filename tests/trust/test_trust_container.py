# SPDX-License-Identifier: Apache-2.0
"""A container image's build: a sound one holds, and each kind of damage is found, whoever signed it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from trust_builds import sign

from support.layouts import EPOCH, layout
from zaffre.image.layout import write_archive
from zaffre.oci import read_layout
from zaffre.sandbox import Sandbox
from zaffre.trust import Keys, verify_build
from zaffre.trust.generate import init_keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("keys") / "keys", owner="Tiny", now=datetime.now(UTC))


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    layout(folder / "oci", "amd64", size=1000)
    archive(folder)
    return folder


def archive(folder: Path) -> None:
    files = {
        path.relative_to(folder / "oci").as_posix(): path.read_bytes()
        for path in (folder / "oci").rglob("*")
        if path.is_file()
    }
    write_archive(folder / "image.oci.tar", files, epoch=EPOCH)


def findings(folder: Path, keys: Keys) -> dict[str, str]:
    # No tool is asked anything, so none is there.
    report = verify_build(folder, certificates=keys.certificates, sandbox=Sandbox(None))
    return {check.name: check.detail for check in report.checks if not check.ok}


def layer(folder: Path) -> Path:
    return folder / "oci" / read_layout(folder / "oci")[0].layers[0].path


def test_a_sound_build_holds(build: Path, keys: Keys) -> None:
    sign(build, keys, kind="container")
    assert findings(build, keys) == {}


def flipped(folder: Path) -> None:
    path = layer(folder)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    archive(folder)


def foreign(folder: Path) -> None:
    (folder / "oci/blobs/sha256" / ("0" * 64)).write_bytes(b"x")
    archive(folder)


def other_machine(folder: Path) -> None:
    shutil.rmtree(folder / "oci")
    layout(folder / "oci", "arm64", size=1000)
    archive(folder)


def other_archive(folder: Path) -> None:
    path = folder / "oci/index.json"
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    archive(folder)
    path.write_bytes(before)


def no_archive(folder: Path) -> None:
    (folder / "image.oci.tar").write_bytes(b"no tar")


@pytest.mark.parametrize(
    ("harm", "where", "words"),
    [
        (flipped, "image layout", "not the one that the layout names"),
        (foreign, "image layout", "no image of the layout has oci/blobs"),
        (other_machine, "image layout", "not for linux/amd64"),
        (other_archive, "archive of the layout", "differs from the folder in oci/index.json"),
        (no_archive, "archive of the layout", "cannot be read"),
    ],
)
def test_damage_is_found_in_a_build_that_is_signed(
    build: Path, keys: Keys, harm: Callable[[Path], None], where: str, words: str
) -> None:
    harm(build)
    sign(build, keys, kind="container")
    assert words in findings(build, keys)[where]


def extra_file(folder: Path) -> None:
    (folder / "oci/blobs/other").write_bytes(b"x")


def extra_folder(folder: Path) -> None:
    (folder / "oci/other").mkdir()


def linked_folder(folder: Path) -> None:
    (folder / "oci").rename(folder.parent / "elsewhere")
    (folder / "oci").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (extra_file, "oci/blobs/other: not named in the manifest"),
        (extra_folder, "oci/other: not named in the manifest"),
        (linked_folder, "oci: not named in the manifest"),
        (lambda folder: (folder / "image.oci.tar").unlink(), "image.oci.tar: named in the manifest but missing"),
    ],
)
def test_damage_after_signing_is_found(build: Path, keys: Keys, harm: Callable[[Path], None], words: str) -> None:
    sign(build, keys, kind="container")
    harm(build)
    assert words in findings(build, keys)["files"]


def test_a_name_that_leads_out_is_none(build: Path, keys: Keys) -> None:
    (build.parent / "secret").write_text("x")
    sign(build, keys, kind="container", artifacts={"../secret": {"sha256": "0" * 64, "size": 1}})
    found = findings(build, keys)
    assert "../secret: not a name of an artifact" in found["files"]
    assert "../secret" not in found, "it was not even looked at"
