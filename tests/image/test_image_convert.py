# SPDX-License-Identifier: Apache-2.0
"""`forms` of a definition and `zaffre convert`, on the lab's host, from the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from support.disks import MIB, make_disk
from support.lab import Lab
from zaffre.sandbox import Sandbox

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("forms")]

EVERY = '["raw", "raw.zst", "qcow2", "vhd", "vhdx", "vmdk", "tar", "tar.zst"]'


def with_forms(lab: Lab, place: Path, image: str, forms: str) -> Path:
    """A copy of the lab's distribution, in which an image has these forms."""
    shutil.copytree(lab.distro, place, symlinks=True)
    path = place / "images" / f"{image}.toml"
    text = path.read_text()
    path.write_text(text.replace("\npackages = [", f"\nforms = {forms}\n\npackages = [", 1))
    assert "forms" in path.read_text()
    return place


def error(lab: Lab, *words: str) -> dict[str, object]:
    done = lab.zaffre(*words, "--json", check=False)
    assert done.returncode != 0
    found: dict[str, object] = json.loads(done.stdout)["error"]
    return found


@pytest.fixture(scope="module")
def host(lab: Lab) -> Path:
    return lab.build("container-host")


@pytest.fixture(scope="module")
def formed(lab: Lab, host: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the host with forms; its steps are those of the host without."""
    place = tmp_path_factory.mktemp("formed")
    distro = with_forms(lab, place / "distro", "container-host", '["raw", "qcow2", "vhd", "tar"]')
    done = lab.json("--distro", str(distro), "build", "container-host", "--out", str(place / "out"))
    cached = {step["name"]: step["cached"] for step in done["manifest"]["build"]["steps"]}
    assert cached["root"], "a form is no reason to make the root anew"
    return Path(done["directory"])


def test_a_build_has_the_forms_that_the_definition_lists(lab: Lab, formed: Path) -> None:
    names = {path.name for path in formed.iterdir()}
    assert {"image.raw", "image.qcow2", "image.vhd", "root.tar", "SHA256SUMS"} <= names
    artifacts = json.loads((formed / "manifest.json").read_bytes())["artifacts"]
    assert {name: one.get("form") for name, one in artifacts.items() if one.get("form")} == {
        "image.raw": "raw",
        "image.qcow2": "qcow2",
        "image.vhd": "vhd",
        "root.tar": "tar",
    }
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], check=True, cwd=formed)
    assert (formed / "image.vhd").stat().st_size % MIB == 512
    report = lab.json("verify", str(formed))
    assert report["ok"], report
    assert {"image.qcow2 holds the same", "image.vhd holds the same", "root.tar holds the same"} <= {
        one["name"] for one in report["checks"]
    }


def test_the_archive_is_the_root(formed: Path) -> None:
    content = {one["path"]: one for one in json.loads((formed / "inventory.json").read_bytes())["content"]}
    with tarfile.open(formed / "root.tar") as archive:
        members = {f"/{member.name.removeprefix('./')}".rstrip("/"): member for member in archive}
    assert members.keys() - {""} - {"/."} == content.keys()
    assert {member.uname for member in members.values()} == {""}
    assert len({member.mtime for member in members.values()}) == 1


def test_a_converted_image_is_that_of_the_build_and_is_signed(
    lab: Lab, formed: Path, host: Path, tmp_path: Path
) -> None:
    done = lab.json("convert", str(host / "image.raw"), "--form", "qcow2", "-o", str(tmp_path / "host.qcow2"))
    (told,) = done["files"]
    assert (told["form"], told["image"], told["file"]) == ("qcow2", "container-host", "host.qcow2")
    assert told["lock"] == json.loads((host / "manifest.json").read_bytes())["lock"]
    assert (tmp_path / "host.qcow2").read_bytes() == (formed / "image.qcow2").read_bytes()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"host.qcow2{ending}" for ending in ("", ".json", ".json.sig", ".sha256")]
    subprocess.run(["sha256sum", "--check", "--strict", "host.qcow2.sha256"], check=True, cwd=tmp_path)
    assert lab.json("verify", str(tmp_path / "host.qcow2"))["ok"]

    # And back, from a form that no build's manifest stands beside: nobody vouches for it.
    lab.zaffre("convert", str(tmp_path / "host.qcow2"), "--form", "raw", "-o", f"{tmp_path}/back/")
    back = tmp_path / "back"
    assert sorted(path.name for path in back.iterdir()) == ["host.raw", "host.raw.json", "host.raw.sha256"]
    assert subprocess.run(["cmp", back / "host.raw", host / "image.raw"], check=False).returncode == 0
    assert "image" not in json.loads((back / "host.raw.json").read_bytes())
    report = lab.json("verify", str(back / "host.raw"), check=False)
    assert [one["ok"] for one in report["checks"]] == [False, True]

    with (tmp_path / "host.qcow2").open("r+b") as file:
        file.seek(4 * MIB)
        file.write(b"another")
    assert not lab.json("verify", str(tmp_path / "host.qcow2"), check=False)["ok"]


def test_an_image_by_its_name(lab: Lab, formed: Path, tmp_path: Path) -> None:
    words = ("convert", "container-host", "--form", "tar", "--form", "vhd", "-o", str(tmp_path), "--out", str(lab.out))
    planned = lab.json(*words, "--dry-run")
    assert list(tmp_path.iterdir()) == []
    done = lab.json(*words)
    assert [one["file"] for one in planned["files"]] == [one["path"] for one in done["files"]]
    for one, name in zip(done["files"], ("root.tar", "image.vhd"), strict=True):
        assert subprocess.run(["cmp", one["path"], formed / name], check=False).returncode == 0


def test_what_cannot_be_converted_is_said(lab: Lab, host: Path, tmp_path: Path) -> None:
    wrong = error(lab, "convert", "check", "--form", "qcow2", "-o", str(tmp_path))
    assert wrong["brief"] == "'check' is a sysext, which has no form 'qcow2'"
    wrong = error(lab, "convert", "wsl", "--form", "vhd", "-o", str(tmp_path))
    assert wrong["resolution"] == "a wsl can be tar, tar.zst"
    wrong = error(lab, "convert", str(host / "image.raw"), "--form", "tar", "-o", str(tmp_path))
    assert wrong["brief"] == "tar is made of the files in an image's root, and not of a disk image"
    wrong = error(lab, "convert", "container-host", "--form", "vdi", "-o", str(tmp_path))
    assert wrong["exit_code"] == 2
    assert "'vdi' is not one of raw, raw.zst, qcow2" in str(wrong["brief"])
    wrong = error(lab, "convert", str(host / "uki.efi"), "--form", "raw", "-o", str(tmp_path))
    assert wrong["brief"] == "this is no disk image that can be converted"
    wrong = error(lab, "convert", str(tmp_path / "nothing.qcow2"), "--form", "raw", "-o", str(tmp_path))
    assert wrong["brief"] == "there is no such file"
    wrong = error(lab, "convert", "container-hots", "--form", "raw", "-o", str(tmp_path))
    assert wrong["resolution"] == "did you mean 'container-host'?"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_its_build_does_not_know_is_refused(
    lab: Lab, tools_sandbox: Sandbox, host: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "build"
    folder.mkdir()
    size = (host / "image.raw").stat().st_size
    make_disk(folder / "image.raw", tools_sandbox, size=size)
    for path in host.iterdir():
        if path.name != "image.raw":
            shutil.copy2(path, folder / path.name)
    for path in folder.iterdir():  # a copy of a build is as old as the build
        os.utime(path, (1, 1))
    wrong = error(lab, "convert", str(folder / "image.raw"), "--form", "raw", "-o", str(tmp_path / "out"))
    assert wrong["brief"] == "it is not the file that its build made"
    assert not (tmp_path / "out").exists()
    own = error(lab, "convert", str(folder / "image.raw"), "--form", "raw", "-o", str(folder / "image.raw"))
    assert own["brief"] == "it would be written over itself"


@pytest.mark.long
@pytest.mark.parametrize("image", ["container-host", "server", "wsl"])
def test_every_form_is_built_twice_the_same(lab: Lab, image: str, tmp_path: Path) -> None:
    forms = EVERY if image != "wsl" else '["tar", "tar.zst"]'
    distro = with_forms(lab, tmp_path / "distro", image, forms)
    found = lab.json("--distro", str(distro), "reproduce", image)
    assert found["reproducible"], found["differences"]
    assert len([name for name in found["artifacts"] if name.startswith(("image.", "root."))]) >= len(json.loads(forms))
