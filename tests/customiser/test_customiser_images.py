# SPDX-License-Identifier: Apache-2.0
"""Real images through the real tools: what is not changed stays, what is changed is there, damage is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from customised import CAPABILITY, MIB, Workplace, changes, copy_to, make_tree

from zaffre.authenticode import Signed
from zaffre.cli.making import signing_keys
from zaffre.customiser.ext4 import Ext4
from zaffre.customiser.source import read_source
from zaffre.customiser.unpack import extract_erofs, unpack_sealed
from zaffre.customiser.waiting import inject
from zaffre.digest import sha256_file
from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.image.uki import sign_pe
from zaffre.pe import text_sections
from zaffre.sandbox import Mount
from zaffre.tree import inventory_of, inventory_text, scan
from zaffre.trust import Role, verify_build
from zaffre.trust.gpt import read_partitions

pytestmark = pytest.mark.tools

_ALL = """
hostname = "web1"
[files]
trees = ["files"]
owners."/etc/marker" = "app:app:0640"
[[users]]
name = "app"
uid = 3000
[units]
enable = ["app.service"]
mask = ["other.service"]
[sysctl]
"vm.swappiness" = 10
[command_line]
remove = ["quiet"]
add = ["acme=1"]
"""


def all_changes(folder: Path, *, more: str = "") -> Path:
    path = changes(folder, marker="here\n")
    path.write_text(_ALL + more)
    return path


def extracted(place: Workplace, image: Path, scratch: Path) -> Path:
    """The root of an image as a tree."""
    scratch.mkdir()
    source, root = read_source(image), scratch / "root"
    if source.form == "sealed":
        unpack_sealed(source, scratch, sandbox=place.sandbox)
        extract_erofs(scratch / "old.erofs", root, sandbox=place.sandbox)
    else:
        Ext4(image, source.root[0], place.sandbox).extract(root)
    return root


def require_changed(root: Path) -> None:
    assert (root / "etc/hostname").read_text() == "web1\n"
    status = (root / "etc/marker").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (3000, 3000, 0o640)
    assert (root / "etc/systemd/system/other.service").readlink() == Path("/dev/null")
    assert (root / "etc/systemd/system/multi-user.target.wants/app.service").is_symlink()
    assert re.search(r"^app:.*:3000:3000:", (root / "etc/passwd").read_text(), re.MULTILINE)
    assert not (root / "etc/passwd-").exists()


def test_a_sealed_root_is_read_back_as_it_was_made(place: Workplace, tmp_path: Path) -> None:
    root = extracted(place, place.sealed, tmp_path / "work")
    assert inventory_text(inventory_of(root)) == inventory_text(inventory_of(place.tree))
    assert os.getxattr(root / "usr/bin/ping", "security.capability") == CAPABILITY
    mine = [(one.path, one.status.st_mode, one.status.st_nlink, one.xattrs) for one in scan(root)]
    assert mine == [(one.path, one.status.st_mode, one.status.st_nlink, one.xattrs) for one in scan(place.tree)]


def test_a_writable_root_is_read_back_but_for_attributes(place: Workplace, tmp_path: Path) -> None:
    root = extracted(place, place.writable, tmp_path / "work")
    (root / "lost+found").rmdir()
    os.setxattr(root / "usr/bin/ping", "security.capability", CAPABILITY)
    assert inventory_text(inventory_of(root)) == inventory_text(inventory_of(place.tree))
    assert [(one.path, one.status.st_nlink) for one in scan(root)] == [
        (one.path, one.status.st_nlink) for one in scan(place.tree)
    ]


@pytest.mark.parametrize("form", ["sealed", "writable"])
def test_without_changes_the_image_is_the_same_bit_for_bit(place: Workplace, tmp_path: Path, form: str) -> None:
    image: Path = getattr(place, form)
    report = place.customise(image, changes(tmp_path), tmp_path / "new")
    assert report.same
    assert sha256_file(tmp_path / "new/image.raw") == sha256_file(image)


@pytest.mark.parametrize("form", ["sealed", "writable"])
def test_changes_are_there_nothing_else_is_and_again_it_is_the_same(
    place: Workplace, tmp_path: Path, form: str
) -> None:
    image: Path = getattr(place, form)
    before = sha256_file(image)
    file = all_changes(tmp_path / "changes")
    assert place.customise(image, file, tmp_path / "dry", dry_run=True).directory is None
    assert not (tmp_path / "dry").exists()
    report = place.customise(image, file, tmp_path / "new")
    assert sha256_file(image) == before, "the image is only read"

    certificates = place.keys.certificates
    verdict = verify_build(tmp_path / "new", certificates=certificates, sandbox=place.sandbox)
    assert verdict.ok, verdict
    (line,) = text_sections(tmp_path / "new/uki.efi", ".cmdline")
    assert "acme=1" in line.split()
    assert "quiet" not in line.split()

    root = extracted(place, tmp_path / "new/image.raw", tmp_path / "work")
    require_changed(root)
    assert report.details is not None
    touched = {change.path for change in report.details.files}
    mine = {one.path: one for one in inventory_of(root).content}
    for one in inventory_of(place.tree).content:
        assert one.path in touched or mine[one.path] == one
    assert (root / "usr/bin/su").stat().st_mode & 0o7777 == 0o4755

    place.customise(image, file, tmp_path / "again")
    assert sha256_file(tmp_path / "again/image.raw") == sha256_file(tmp_path / "new/image.raw")


def test_a_capability_stays_in_a_writable_root(place: Workplace, tmp_path: Path) -> None:
    place.customise(place.writable, all_changes(tmp_path / "changes"), tmp_path / "new")
    image = tmp_path / "new/image.raw"
    source = read_source(image)
    assert (
        "security.capability" in Ext4(image, source.root[0], place.sandbox).attributes(["usr/bin/ping"])["usr/bin/ping"]
    )


def test_what_is_written_to_a_labelled_root_has_its_label(place: Workplace, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    make_tree(tree)
    table = tree / "etc/selinux/default/contexts/files/file_contexts"
    table.parent.mkdir(parents=True)
    lines = {"/.*": "plain_t", "/etc/passwd": "passwd_t", "/etc/marker": "marker_t", "/usr/bin/.*": "bin_t"}
    table.write_text("".join(f"{path}\tsystem_u:object_r:{label}:s0\n" for path, label in lines.items()))
    table.with_name("file_contexts.subs_dist").write_text("")
    place.make_writable(tmp_path / "labelled.raw", tree, tmp_path / "writing")
    place.customise(tmp_path / "labelled.raw", all_changes(tmp_path / "changes"), tmp_path / "new")
    image = tmp_path / "new/image.raw"
    wanted = {"etc/passwd": "passwd_t", "etc/marker": "marker_t", "etc/hostname": "plain_t", "usr/bin/ping": "bin_t"}
    found = Ext4(image, read_source(image).root[0], place.sandbox).attributes(wanted)
    for path, label in wanted.items():
        assert f'"system_u:object_r:{label}:s0' in found[path]
    assert "security.capability" in found["usr/bin/ping"]


def test_partitions_grow_and_do_not_shrink(place: Workplace, tmp_path: Path) -> None:
    report = place.customise(
        place.sealed, changes(tmp_path, "disk.root = '12M'\ndisk.total = '128M'"), tmp_path / "new"
    )
    assert report.grown == ("root: 8M -> 12M", "var: 16M -> 52M")
    made = read_partitions(tmp_path / "new/image.raw")
    assert [one.size // MIB for one in made] == [40, 4, 12, 4, 12]
    assert (tmp_path / "new/image.raw").stat().st_size == 128 * MIB
    for text, said in (("disk.root = '4M'", "cannot shrink"), ("disk.total = '64M'", "smaller than its parts")):
        with pytest.raises(DefinitionError, match=said):
            place.customise(place.sealed, changes(tmp_path, text), tmp_path / "no")


def test_signed_elsewhere_and_taken_back(place: Workplace, tmp_path: Path) -> None:
    waiting, signed = tmp_path / "waiting", tmp_path / "signed"
    report = place.customise(place.sealed, all_changes(tmp_path / "changes"), waiting, signing=False)
    assert not (waiting / "image.raw").exists()
    text = (waiting / "SIGN.txt").read_text()
    signed.mkdir()
    for one in report.to_sign:
        assert one.authenticode in text
        source = waiting / "to-sign" / one.file
        assert Signed(source).digest == one.authenticode
        assert not Signed(source).signatures
        sign_pe(source, signed / one.file, keys=signing_keys(place.keys), epoch=1_800_000_000, sandbox=place.sandbox)
    certificate = place.keys.public_path(Role.DB)

    def take_back(files: Path, by: Path, out: str) -> None:
        signer = place.keys.release_signer()
        inject(waiting, files, by, tmp_path / out, store=place.store, sandbox=place.sandbox, signer=signer)

    take_back(signed, certificate, "new")
    verdict = verify_build(tmp_path / "new", certificates=place.keys.certificates, sandbox=place.sandbox)
    assert verdict.ok, verdict
    require_changed(extracted(place, tmp_path / "new/image.raw", tmp_path / "work"))

    with pytest.raises(FindingError, match=r"not signed by KEK\.crt"):
        take_back(signed, place.keys.public_path(Role.KEK), "no")
    with pytest.raises(FindingError, match="has no signature"):
        take_back(waiting / "to-sign", certificate, "no")
    genuine = (signed / "uki.efi").read_bytes()
    (signed / "uki.efi").write_bytes((signed / "boot-loader.efi").read_bytes())
    with pytest.raises(FindingError, match="not the one that was given away"):
        take_back(signed, certificate, "no")
    (signed / "uki.efi").unlink()
    with pytest.raises(DefinitionError, match=r"no signed uki\.efi"):
        take_back(signed, certificate, "no")
    (signed / "uki.efi").write_bytes(genuine)
    (waiting / "waiting/root.erofs").write_bytes(b"another root")
    with pytest.raises(IntegrityError, match=r"was changed: root\.erofs"):
        take_back(signed, certificate, "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("partition", "offset", "said"),
    [
        ("esp", None, "not what was signed"),
        ("root", 3 * 4096 + 17, "not under the root hash"),
        ("root", 1024, "a root that the image does not have"),
    ],
)
def test_a_damaged_image_is_refused(
    place: Workplace, tmp_path: Path, partition: str, offset: int | None, said: str
) -> None:
    image = copy_to(place.sealed, tmp_path / "image.raw")
    parts = read_partitions(image)
    where = parts[0] if partition == "esp" else parts[2]
    with image.open("r+b") as file:
        if offset is None:
            file.seek(where.offset)
            offset = file.read(where.size).index(b"no kernel") + 5
        file.seek(where.offset + offset)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0xFF]))
    with pytest.raises(IntegrityError, match=said):
        place.customise(image, changes(tmp_path), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_images_that_cannot_be_taken_are_refused_in_words(place: Workplace, tmp_path: Path) -> None:
    def refused(image: Path, said: str, kind: type[Exception] = DefinitionError) -> None:
        with pytest.raises(kind, match=said):
            place.customise(image, changes(tmp_path), tmp_path / "new")
        assert not (tmp_path / "new").exists()

    other = tmp_path / "image"
    for start, said in ((b"QFI\xfb", "QCOW2"), (b"\x1f\x8b", "gzip"), (b"LUKS\xba\xbe", "encrypted")):
        other.write_bytes(start.ljust(4096, b"\0"))
        refused(other, said)
    other.write_bytes(bytes(1 << 20))
    refused(other, "no GUID partition table", IntegrityError)
    refused(tmp_path / "lost", "there is no such image")
    for image, signature, at, said in (
        (place.writable, b"LUKS\xba\xbe", 0, "encrypted"),
        (place.writable, b"\0\0", 1080, "not an ext4"),
    ):
        copy_to(image, other)
        with other.open("r+b") as file:
            file.seek(read_partitions(other)[1].offset + at)
            file.write(signature)
        refused(other, said)


def test_an_image_with_another_boot_loader_keeps_it(place: Workplace, tmp_path: Path) -> None:
    image = copy_to(place.writable, tmp_path / "image.raw")
    esp, root = read_partitions(image)
    place.sandbox.run(
        ["mdel", "-i", f"/job/image@@{esp.offset}", "::/EFI/Linux/tiny_1.2.efi"],
        mounts=[Mount(image, "/job/image", writable=True)],
        timeout=60.0,
    )
    place.customise(image, changes(tmp_path / "files", marker="here\n"), tmp_path / "new")
    assert verify_build(tmp_path / "new", certificates=place.keys.certificates, sandbox=place.sandbox).ok
    old, new = image.read_bytes(), (tmp_path / "new/image.raw").read_bytes()
    assert old[: root.offset] == new[: root.offset]
    assert (extracted(place, tmp_path / "new/image.raw", tmp_path / "work") / "etc/marker").read_text() == "here\n"
    with pytest.raises(DefinitionError, match="no unified kernel image"):
        place.customise(image, changes(tmp_path / "line", "command_line.add = ['quiet']"), tmp_path / "no")


def test_a_full_root_loses_nothing(place: Workplace, tmp_path: Path) -> None:
    file = changes(tmp_path, big="x")
    (tmp_path / "files/etc/big").write_bytes(os.urandom(40 * MIB))
    with pytest.raises(DefinitionError, match="has no room"):
        place.customise(place.writable, file, tmp_path / "new")
    with pytest.raises(DefinitionError, match="do not fit the partition"):
        place.customise(place.sealed, file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        ("sealed", "units.mask = ['lost.service']", "has no unit"),
        ("sealed", "packages.remove = ['bash']", "no package manager"),
        ("writable", "packages.remove = ['bash']", "has no dpkg"),
        ("writable", "disk.root = '1G'", "has no slots"),
        ("writable", "disk.total = '8M'", "smaller"),
        ("writable", "compression = 'lz4'", "not compressed"),
        ("sealed", "files.owners.'/usr/bin/su' = 'root:root:4755'", "would be setuid"),
    ],
)
def test_what_an_image_cannot_take_is_said(place: Workplace, tmp_path: Path, form: str, text: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as caught:
        place.customise(getattr(place, form), changes(tmp_path, text), tmp_path / "new")
    assert (caught.value.where or "").startswith("changes.toml")
