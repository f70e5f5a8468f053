# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import HOST, MAIN, UPSTREAM, Workshop

from zaffre.definition import Architecture, digest, packages_digest, request_digest, tree_digest
from zaffre.digest import Sha256

WITH_FILES = HOST + '[files]\ntrees = ["files/host"]\n[initrd]\ntree = "files/initrd"\n'


@pytest.fixture
def filled(workshop: Workshop) -> Workshop:
    workshop.write("images/host.toml", WITH_FILES)
    workshop.write("files/host/etc/motd", "hello")
    workshop.write("files/initrd/etc/x", "x")
    return workshop


def digests(workshop: Workshop) -> tuple[Sha256, Sha256]:
    distribution = workshop.load()
    image = distribution.image("host")
    return digest(distribution, image), request_digest(distribution, image, Architecture.AMD64)


def write(file: str, text: str) -> Callable[[Workshop], object]:
    return lambda workshop: workshop.write(file, text)


@pytest.mark.parametrize(
    "change",
    [
        write("files/host/etc/motd", "hullo"),
        write("files/host/etc/motd2", ""),
        write("files/initrd/etc/x", "y"),
        write("images/host.toml", WITH_FILES.replace("96M", "97M")),
        write("images/host.toml", "debug = true\n" + WITH_FILES),
        write("zaffre.toml", MAIN.replace('version = "1"', 'version = "2"')),
        write("upstreams/keyrings/debian.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\nanother\n"),
        lambda workshop: (workshop.root / "files/host/etc/motd").chmod(0o755),
        lambda workshop: (workshop.root / "files/host/var").mkdir(),
        lambda workshop: (workshop.root / "files/host/etc/link").symlink_to("motd"),
    ],
)
def test_what_changes_the_image_changes_its_digest_alone(
    filled: Workshop, change: Callable[[Workshop], object]
) -> None:
    whole, request = digests(filled)
    change(filled)
    assert digests(filled)[0] != whole
    assert digests(filled)[1] == request


@pytest.mark.parametrize(
    "change",
    [
        write("images/host.toml", WITH_FILES.replace('"systemd"', '"systemd", "crun"')),
        write("images/host.toml", "recommends = true\n" + WITH_FILES),
        write("images/host.toml", 'provides = ["runc"]\n' + WITH_FILES),
        write("images/host.toml", WITH_FILES.replace("linux-image-", "linux-image-cloud-")),
        write("upstreams/debian.toml", UPSTREAM.replace("trixie", "forky")),
    ],
)
def test_what_changes_the_packages_changes_both(filled: Workshop, change: Callable[[Workshop], object]) -> None:
    whole, request = digests(filled)
    change(filled)
    assert digests(filled)[0] != whole
    assert digests(filled)[1] != request


@pytest.mark.parametrize(
    "change",
    [
        write("images/other.toml", 'extends = "host"\npackages = ["crun"]'),
        write("images/host.toml", "# a comment\n" + WITH_FILES),
        write("zaffre.toml", MAIN.replace('"erofs-utils"', '"erofs-utils", "kmod"')),
        lambda workshop: (workshop.root / "files/host/etc/motd").chmod(0o600),
        lambda workshop: os.utime(workshop.root / "files/host/etc/motd", (1, 1)),
    ],
)
def test_what_does_not_change_the_image_changes_nothing(filled: Workshop, change: Callable[[Workshop], object]) -> None:
    before = digests(filled)
    change(filled)
    assert digests(filled) == before


def test_it_does_not_matter_by_what_way_a_value_came(filled: Workshop) -> None:
    before = digests(filled)
    filled.write("profiles/p.toml", '[kernel]\nmodules = ["overlay", "nf_*"]')
    filled.write("images/host.toml", 'profiles = ["p"]\n' + WITH_FILES.replace('modules = ["overlay", "nf_*"]\n', ""))
    assert digests(filled) == before


def test_the_place_does_not_matter(tmp_path: Path) -> None:
    assert digests(Workshop(tmp_path / "a")) == digests(Workshop(tmp_path / "elsewhere"))


def test_the_order_of_packages_does_not_matter_but_the_architecture_does(workshop: Workshop) -> None:
    upstream = workshop.load().upstream()
    one = packages_digest(upstream, ["a1", "b1"], architecture=Architecture.AMD64)
    assert packages_digest(upstream, ["b1", "a1", "b1"], architecture=Architecture.AMD64) == one
    assert packages_digest(upstream, ["a1", "b1"], architecture=Architecture.ARM64) != one


def test_a_tree_is_its_names_and_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "d").mkdir(parents=True)
    (tmp_path / "a/d/x").write_text("1")
    (tmp_path / "b/d/x").write_text("1")
    assert tree_digest(tmp_path / "a") == tree_digest(tmp_path / "b")
    (tmp_path / "b/d/x").rename(tmp_path / "b/x")
    assert tree_digest(tmp_path / "a") != tree_digest(tmp_path / "b")
