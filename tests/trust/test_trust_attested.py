# SPDX-License-Identifier: Apache-2.0
"""The papers of a build: sound ones hold, and what is not of this build, or in no record, is found."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from trust_builds import sign

from support.bills import bill, package
from support.layouts import EPOCH, layout_of
from zaffre.bill import Bill, BillArtifact, BillFile, Origin
from zaffre.digest import sha256_bytes
from zaffre.image.layout import write_archive
from zaffre.sandbox import Sandbox
from zaffre.trust import Keys, verify_build
from zaffre.trust.generate import init_keys
from zaffre.trust.generated import unknown
from zaffre.trust.papers import PaperWriter
from zaffre.trust.provenance import envelope, statement

FILES = {"usr/bin/tool": b"#!", "etc/passwd": b"root", "etc/app.conf": b"x=1"}
PACKAGES = (package("tool"), package("libtool"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("keys") / "keys", owner="Tiny", now=datetime.now(UTC))


def listed(files: Mapping[str, bytes]) -> tuple[BillFile, ...]:
    owners = {"usr/bin/tool": ("tool", None), "etc/app.conf": (None, Origin.DEFINITION)}
    found = []
    for name, content in files.items():
        owner, origin = owners.get(name, (None, Origin.GENERATED))
        sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        key = (owner, "amd64") if owner else None
        found.append(BillFile(f"/{name}", sha256_bytes(content), sha1, len(content), key, origin))
    return tuple(found)


def artifacts(folder: Path) -> tuple[BillArtifact, ...]:
    return tuple(
        BillArtifact(path.relative_to(folder).as_posix(), sha256_bytes(path.read_bytes()), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


def subject(folder: Path, **changes: Any) -> Bill:
    plain = bill(*PACKAGES, kind="container", files=listed(FILES), artifacts=artifacts(folder))
    return replace(plain, definition="0" * 64, lock="0" * 64, tools="0" * 64, **changes)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return made(tmp_path / "build", FILES)


def made(folder: Path, files: Mapping[str, bytes]) -> Path:
    layout_of(folder / "oci", "amd64", files)
    content = {
        path.relative_to(folder / "oci").as_posix(): path.read_bytes()
        for path in (folder / "oci").rglob("*")
        if path.is_file()
    }
    write_archive(folder / "image.oci.tar", content, epoch=EPOCH)
    inventory(folder, files)
    return folder


def inventory(folder: Path, files: Mapping[str, bytes]) -> None:
    rows = [{"path": f"/{name}", "mode": "0644", "sha256": sha256_bytes(data)} for name, data in files.items()]
    (folder / "inventory.json").write_text(json.dumps({"content": [{"path": "/usr", "mode": "0755"}, *rows]}))


def finish(folder: Path, keys: Keys) -> None:
    facts = [
        {
            "name": one.name,
            "version": one.version,
            "architecture": one.architecture,
            "source": one.source,
            "source_version": one.source_version,
            "sha256": one.sha256,
        }
        for one in PACKAGES
    ]
    sign(folder, keys, kind="container", packages=facts)


def checks(folder: Path, keys: Keys) -> dict[str, tuple[bool, str]]:
    report = verify_build(folder, certificates=keys.certificates, sandbox=Sandbox(None))
    return {check.name: (check.ok, check.detail) for check in report.checks}


def test_sound_papers_hold(build: Path, keys: Keys) -> None:
    keys.papers().write(build, subject(build))
    finish(build, keys)
    found = checks(build, keys)
    assert all(ok for ok, _ in found.values()), found
    assert found["files and packages"][1] == (
        "3 files: 1 of packages, 1 of the definition, 1 made by scripts and the build"
    )
    assert found["provenance"][1].startswith("of 9 files from 2 packages")


def test_equal_builds_have_equal_papers(build: Path, keys: Keys, tmp_path: Path) -> None:
    other = Path(shutil.copytree(build, tmp_path / "other"))
    for folder in (build, other):
        keys.papers().write(folder, subject(folder))
    assert artifacts(build) == artifacts(other)


def test_a_build_without_papers_is_held_as_before(build: Path, keys: Keys) -> None:
    finish(build, keys)
    assert "provenance" not in checks(build, keys)


def other_key(folder: Path, keys: Keys) -> None:
    stranger = init_keys(folder.parent / "stranger", owner="Other", now=datetime.now(UTC))
    stranger.papers().write(folder, subject(folder))


def other_file(folder: Path, keys: Keys) -> None:
    whole = subject(folder)
    keys.papers().write(folder, replace(whole, artifacts=(*whole.artifacts, BillArtifact("more", "1" * 64, 1))))


def other_definition(folder: Path, keys: Keys) -> None:
    keys.papers().write(folder, replace(subject(folder), definition="2" * 64))


def one_package_less(folder: Path, keys: Keys) -> None:
    keys.papers().write(folder, replace(subject(folder), packages=PACKAGES[:1]))


def one_package_more(folder: Path, keys: Keys) -> None:
    keys.papers().write(folder, replace(subject(folder), packages=(*PACKAGES, package("stowaway"))))


def forms_differ(folder: Path, keys: Keys) -> None:
    keys.papers().write(folder, subject(folder))
    changed = json.loads((folder / "sbom.spdx.json").read_text())
    changed["packages"] = [one for one in changed["packages"] if one["name"] != "tool"]
    (folder / "sbom.spdx.json").write_text(json.dumps(changed))


def no_json(folder: Path, keys: Keys) -> None:
    keys.papers().write(folder, subject(folder))
    (folder / "sbom.spdx.json").write_text("{")


def foreign_form(folder: Path, keys: Keys) -> None:
    keys.papers().write(folder, subject(folder))
    (folder / "sbom.cdx.json").write_text('{"components": [7]}')


def other_inventory(folder: Path, keys: Keys) -> None:
    inventory(folder, {**FILES, "usr/bin/more": b""})
    keys.papers().write(folder, subject(folder))


def no_inventory(folder: Path, keys: Keys) -> None:
    (folder / "inventory.json").write_text("[]")
    keys.papers().write(folder, subject(folder))


def unrecorded(folder: Path, keys: Keys) -> None:
    whole = subject(folder)
    keys.papers().write(folder, replace(whole, files=whole.files[:-1]))


def not_there(folder: Path, keys: Keys) -> None:
    more = {**FILES, "usr/bin/gone": b""}
    inventory(folder, more)
    keys.papers().write(folder, replace(subject(folder), files=listed(more)))


def other_content(folder: Path, keys: Keys) -> None:
    other = {**FILES, "etc/passwd": b"toor"}
    inventory(folder, other)
    keys.papers().write(folder, replace(subject(folder), files=listed(other)))


@pytest.mark.parametrize(
    ("damage", "where", "words"),
    [
        (other_key, "provenance", "no signature of it was made by the release key"),
        (other_file, "provenance", "it is about other files: more"),
        (other_definition, "provenance", "it names other inputs than the manifest: definition"),
        (one_package_less, "bill of materials", "they lack libtool"),
        (one_package_more, "bill of materials", "the manifest does not know stowaway"),
        (forms_differ, "bill of materials", "the forms differ in tool"),
        (no_json, "files and packages", "the file is not JSON"),
        (foreign_form, "bill of materials", "it does not have the form of a bill of materials"),
        (other_inventory, "files and packages", "no record has /usr/bin/more"),
        (no_inventory, "files and packages", "inventory.json has no list of content"),
        (unrecorded, "files and packages", "no record has /etc/app.conf"),
        (not_there, "files and packages", "the image lacks /usr/bin/gone"),
        (other_content, "files and packages", "changed /etc/passwd"),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_damage_is_found_whoever_signed_the_manifest(
    build: Path, keys: Keys, damage: Callable[[Path, Keys], None], where: str, words: str
) -> None:
    damage(build, keys)
    finish(build, keys)
    ok, detail = checks(build, keys)[where]
    assert not ok
    assert words in detail


def test_a_file_of_nobody_is_named(tmp_path: Path, keys: Keys) -> None:
    files = {**FILES, "opt/backdoor": b"!", "var/lib/dpkg/status": b""}
    build = made(tmp_path / "build", files)
    keys.papers().write(build, replace(subject(build), files=listed(files)))
    finish(build, keys)
    ok, detail = checks(build, keys)["files and packages"]
    assert ok
    assert detail.endswith("; of nobody that is known: /opt/backdoor")


def test_what_is_known_to_be_made() -> None:
    assert unknown(["/etc/passwd", "/var/lib/dpkg/info/a.list", "/usr/lib/modules/6/modules.dep"], ()) == []
    assert unknown(["/usr/bin/x", "/etc/passwd.d/x"], ()) == ["/etc/passwd.d/x", "/usr/bin/x"]


def test_a_compiled_module_is_known_by_its_source() -> None:
    packaged = {"/usr/lib/python3/dist-packages/a.py"}
    folder = "/usr/lib/python3/dist-packages"
    compiled = [f"{folder}/__pycache__/{name}.pyc" for name in ("a.cpython-313", "a.cpython-313.opt-1")]
    strange = [f"{folder}/__pycache__/b.cpython-313.pyc", f"{folder}/a.cpython-313.pyc"]
    assert unknown([*compiled, *strange], packaged) == sorted(strange)


def test_the_envelope_is_as_dsse_has_it(keys: Keys) -> None:
    said = statement(bill(*PACKAGES), ())
    value = json.loads(envelope(said, keys.release_signer(), key="k"))
    payload = base64.b64decode(value["payload"])
    assert json.loads(payload) == json.loads(json.dumps(said))
    kind = value["payloadType"]
    encoded = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    assert keys.release_signer().holds(encoded, value["signatures"][0]["sig"].encode())
    assert PaperWriter(keys.release_signer(), "k").code == keys.papers().code
