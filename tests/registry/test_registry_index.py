# SPDX-License-Identifier: Apache-2.0
"""Layouts are read with every digest held, and several of them become one index."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.layouts import layout
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.oci import INDEX, read_layout
from zaffre.registry import join_layouts


def test_one_image_stays_as_it_is(tmp_path: Path) -> None:
    one = layout(tmp_path / "one", "amd64")
    digest = join_layouts([one], tmp_path / "joined")
    assert digest == read_layout(one)[0].manifest.digest
    assert [image.manifest.digest for image in read_layout(tmp_path / "joined")] == [digest]


def test_two_architectures_become_an_index(tmp_path: Path) -> None:
    layouts = [layout(tmp_path / name, name) for name in ("arm64", "amd64")]
    digest = join_layouts(layouts, tmp_path / "joined")
    again = join_layouts(layouts[::-1], tmp_path / "again")
    assert digest == again, "in whatever order they come"
    (top,) = json.loads((tmp_path / "joined/index.json").read_bytes())["manifests"]
    assert (top["mediaType"], top["digest"]) == (INDEX, digest)
    index = json.loads((tmp_path / "joined/blobs/sha256" / digest.removeprefix("sha256:")).read_bytes())
    assert [one["platform"] for one in index["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
    ]
    assert index["annotations"]["org.opencontainers.image.title"] == "test"
    assert [one.manifest.platform for one in read_layout(tmp_path / "joined")] == ["linux/amd64", "linux/arm64"]


def test_two_images_of_one_platform_are_refused(tmp_path: Path) -> None:
    layouts = [layout(tmp_path / str(seed), "amd64", seed=seed) for seed in (1, 2)]
    with pytest.raises(DefinitionError, match="one platform"):
        join_layouts(layouts, tmp_path / "joined")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def blob(folder: Path, kind: str) -> Path:
    image = read_layout(folder)[0]
    descriptor = {"manifest": image.manifest, "config": image.config_at, "layer": image.layers[0]}[kind]
    return folder / descriptor.path


def without_layout(folder: Path) -> None:
    (folder / "oci-layout").unlink()


def linked_layer(folder: Path) -> None:
    path = blob(folder, "layer")
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")


def path_as_digest(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_bytes())
    index["manifests"][0]["digest"] = "sha256:../../../../etc/passwd"
    (folder / "index.json").write_text(json.dumps(index))


def endless_index(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_bytes())
    index["manifests"] *= 300
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: flip(blob(folder, "manifest")),
        lambda folder: flip(blob(folder, "config")),
        lambda folder: flip(blob(folder, "layer")),
        lambda folder: blob(folder, "layer").unlink(),
        lambda folder: (folder / "index.json").write_text("[]"),
        lambda folder: (folder / "index.json").write_text("[" * 100_000),
        without_layout,
        linked_layer,
        path_as_digest,
        endless_index,
    ],
)
def test_what_does_not_hold_is_refused(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    folder = layout(tmp_path / "one", "amd64", size=1000)
    harm(folder)
    with pytest.raises(IntegrityError):
        read_layout(folder)
