# SPDX-License-Identifier: Apache-2.0
"""The papers of real builds: complete, valid, the same again, and believed by the field's own programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.bills import faults, seen_by_trivy
from support.cosign import cosign
from support.lab import Lab
from support.layers import open_layer
from zaffre.oci import read_layout
from zaffre.sandbox import Sandbox

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("containers")]

NAMES = {"cyclonedx": "sbom.cdx.json", "spdx": "sbom.spdx.json"}
IMAGES = ("base", "distroless")


@pytest.fixture(scope="module")
def built(lab: Lab) -> Mapping[str, Path]:
    return {name: lab.build(name) for name in IMAGES}


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("form", NAMES)
def test_every_package_is_in_it_and_trivy_sees_it(
    built: Mapping[str, Path], tmp_path: Path, image: str, form: str
) -> None:
    path = built[image] / NAMES[form]
    assert faults(path.read_text(), form) == []
    wanted = {one["name"]: one for one in read(built[image], "manifest.json")["packages"]}
    seen = seen_by_trivy(path, tmp_path)
    assert seen.keys() == wanted.keys()
    for name, one in wanted.items():
        assert (seen[name]["Version"], seen[name]["SrcName"]) == (one["version"], one["source"])


def test_licences_are_told_where_packages_tell_them(built: Mapping[str, Path]) -> None:
    everything = read(built["base"], NAMES["spdx"])["packages"]
    packages = {one["name"]: one for one in everything if one.get("checksums")}
    assert packages["zlib1g"]["licenseDeclared"] == "Zlib"
    assert packages["gcc-14-base"]["licenseDeclared"] == "NOASSERTION", "its copyright file is not for machines"
    assert packages["bsdutils"]["licenseDeclared"] == packages["util-linux"]["licenseDeclared"] != "NOASSERTION"
    told = [one for one in packages.values() if one["licenseDeclared"] != "NOASSERTION"]
    assert len(told) > 0.8 * len(packages)


def test_every_file_is_in_it_once(built: Mapping[str, Path]) -> None:
    files = {one["path"]: one for one in read(built["base"], "inventory.json")["content"] if one.get("sha256")}
    spdx = read(built["base"], NAMES["spdx"])["files"]
    assert sorted(one["fileName"].removeprefix(".") for one in spdx) == sorted(files)
    components = read(built["base"], NAMES["cyclonedx"])["components"]
    owned = [where["location"] for one in components for where in one.get("evidence", {}).get("occurrences", ())]
    loose = [one["name"] for one in components if one["type"] == "file"]
    assert sorted([*owned, *loose]) == sorted(files)


def test_what_no_package_manager_changes_carries_its_own(built: Mapping[str, Path]) -> None:
    def carried(image: str) -> dict[str, bytes]:
        (layer,) = read_layout(built[image] / "oci")[0].layers
        with open_layer(built[image] / "oci", layer) as tar:
            return {one.name: tar.extractfile(one).read() for one in tar if one.name.startswith("usr/share/sbom/")}

    assert carried("base") == {}
    (text,) = (data for name, data in carried("distroless").items() if name.endswith("zaffre-distroless.cdx.json"))
    assert faults(text.decode(), "cyclonedx") == []
    inside, beside = json.loads(text), read(built["distroless"], NAMES["cyclonedx"])
    names = [{one["purl"] for one in value["components"] if "purl" in one} for value in (inside, beside)]
    assert names[0] == names[1]


def test_the_papers_hold_and_no_file_is_nobodys(lab: Lab, built: Mapping[str, Path]) -> None:
    for folder in built.values():
        found = {one["name"]: one for one in lab.json("verify", str(folder))["checks"]}
        for name in ("provenance", "bill of materials", "files and packages"):
            assert found[name]["ok"], found[name]
        assert "of nobody" not in found["files and packages"]["detail"]


def test_a_host_is_read_through_its_sealed_root(lab: Lab, tmp_path: Path) -> None:
    folder = lab.build("container-host")
    for form, name in NAMES.items():
        assert faults((folder / name).read_text(), form) == []
    packages = {one["name"] for one in read(folder, "manifest.json")["packages"]}
    assert seen_by_trivy(folder / NAMES["cyclonedx"], tmp_path).keys() == packages
    (found,) = [one for one in lab.json("verify", str(folder))["checks"] if one["name"] == "files and packages"]
    assert found["ok"]
    assert "of nobody" not in found["detail"]
    carried = [one for one in read(folder, "inventory.json")["content"] if one["path"].startswith("/usr/share/sbom/")]
    assert [one["path"] for one in carried] == ["/usr/share/sbom/zaffre-container-host.cdx.json"]


def test_cosign_verifies_the_provenance(
    lab: Lab, built: Mapping[str, Path], tools_sandbox: Sandbox, tmp_path: Path
) -> None:
    program = cosign(lab, tmp_path / "cosign", tools_sandbox)
    key, folder = lab.keys / "release.pub", built["distroless"]
    for blob in ("image.oci.tar", NAMES["cyclonedx"], NAMES["spdx"]):
        done = program.verify(folder, key, "provenance.intoto.json", blob)
        assert done.returncode == 0, done.stderr_tail
    other = program.verify(folder, key, "provenance.intoto.json", "manifest.json")
    assert other.returncode != 0
    assert "no matching subject digest" in other.stderr_tail
    stranger = lab.root / "stranger"
    if not stranger.exists():
        lab.zaffre("--keys", str(stranger), "keys", "init")
    assert program.verify(folder, stranger / "release.pub", "provenance.intoto.json", "image.oci.tar").returncode != 0


def test_the_command_prints_what_the_build_has(lab: Lab, built: Mapping[str, Path], tmp_path: Path) -> None:
    folder = built["distroless"]
    assert lab.zaffre("sbom", str(folder)).stdout == (folder / NAMES["cyclonedx"]).read_text()
    target = tmp_path / "x.json"
    lab.zaffre("sbom", "distroless", "--out", str(lab.out), "--format", "spdx", "--output", str(target))
    assert target.read_text() == (folder / NAMES["spdx"]).read_text()


def test_a_bill_that_was_changed_is_not_printed(lab: Lab, built: Mapping[str, Path], tmp_path: Path) -> None:
    for name in ("manifest.json", NAMES["cyclonedx"]):
        (tmp_path / name).write_bytes((built["distroless"] / name).read_bytes())
    (tmp_path / NAMES["cyclonedx"]).write_text("{}")
    done = lab.zaffre("sbom", str(tmp_path), check=False)
    assert done.returncode == 3
    assert "not the one that the manifest names" in done.stderr
    (tmp_path / "manifest.json").unlink()
    done = lab.zaffre("sbom", str(tmp_path), check=False)
    assert (done.returncode, done.stdout) == (2, "")
