# SPDX-License-Identifier: Apache-2.0
"""A store in which bytes have changed: found before they are used, told, and mended by the same command."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.own import edit, packages, recorded, variant
from support.program import Place, leftovers, promised
from zaffre.digest import Sha256
from zaffre.store import Store

IMAGE = "container-host"


def spoil(store: Path, digest: Sha256) -> None:
    """Flip a bit in the middle; the size and the time stay. The blob must not be shared with another store."""
    path = Store(store).path(digest)
    status = path.stat()
    assert status.st_nlink == 1
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(status.st_size // 2)
        byte = file.read(1)
        file.seek(status.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(0o444)


def output(place: Place, kind: str, name: str, **inputs: str) -> Sha256:
    """An output of a step that this store has a record of."""
    found = [
        result.outputs[name]
        for action, result in recorded(Store(place.store), kind)
        if all(action.inputs.get(key) == value for key, value in inputs.items())
    ]
    assert found
    return found[-1]


def found_then_mended(place: Place, image: str, digest: Sha256, *options: str) -> Path:
    spoil(place.store, digest)
    done = place.run("build", image, "--out", str(place.out), *options, code=3)
    assert f"error: blob {digest} in the store is corrupted" in done.said
    assert "it has been taken out of the store" in done.said
    assert "run the same command again: the blob is fetched or built anew" in done.said
    assert not any(place.out.glob(f"{image}-*"))
    assert list(leftovers(place)) == []
    return place.build(image, *options)


def test_a_sealed_root(own: Place, tmp_path: Path) -> None:
    before = promised(own.build(IMAGE))
    place = own.at(out=tmp_path / "out")
    folder = found_then_mended(place, IMAGE, before["artifacts"]["root.erofs"]["sha256"])
    assert promised(folder) == before


def test_what_a_step_goes_on_from(own: Place, tmp_path: Path) -> None:
    """The initrd, which the kernel image is made of when only the command line has changed."""
    own.build(IMAGE)
    place = variant(own, tmp_path / "variant")
    edit(place.distro / "profiles/immutable.toml", '"quiet",', '"quiet", "zaffre.e2e=1",')
    found_then_mended(place, IMAGE, output(place, "initrd", "initrd"))


@pytest.fixture
def extension(own: Place, tmp_path: Path) -> Place:
    """The small image, of which no step is done: it takes a file of one package and another one's program."""
    place = variant(own, tmp_path / "variant")
    edit(place.distro / "images/check.toml", '"zaffre.local/probe:1"', f'"zaffre.local/{tmp_path.name}:1"')
    return place


def test_a_package_and_what_was_unpacked_of_it(extension: Place) -> None:
    deb = next(digest for digest, one in packages(extension, "check").items() if one.name == "busybox-static")
    place = extension
    place.build("check")
    data = output(place, "unpack", "data", package=deb)
    for digest in (data, deb):
        edit_again(place)
        if digest == deb:
            Store(place.store).path(data).unlink()  # so that the package is read again
        found_then_mended(place.at(out=place.out / digest), "check", digest)


def edit_again(place: Place) -> None:
    path = place.distro / "images/check.toml"
    path.write_text(path.read_text().replace(":1", ":11"))


def test_verify_finds_it_and_repair_mends_it(own: Place, tmp_path: Path) -> None:
    digest = Sha256(promised(own.build(IMAGE))["artifacts"]["root.verity"]["sha256"])
    spoil(own.store, digest)
    told = own.run("store", "verify", code=1).out
    assert f"corrupted blob: {digest}" in told
    assert "zaffre store verify --repair" in told
    repaired = own.run("store", "verify", "--repair", "--json").json
    assert repaired["corrupt"]["blobs"] == [digest]
    assert repaired["repaired"] is True
    assert own.run("store", "verify", "--json").json["ok"] is True
    own.at(out=tmp_path).build(IMAGE)
