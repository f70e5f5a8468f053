# SPDX-License-Identifier: Apache-2.0
"""Images to customise, made by the code that builds images: small, with all that must not be lost."""

from __future__ import annotations

import os
import shutil
import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from zaffre.cli.making import signing_keys
from zaffre.customiser.bench import Bench, Order
from zaffre.customiser.changes import ChangesFile
from zaffre.customiser.customise import customise
from zaffre.customiser.report import Report
from zaffre.digest import sha256_file
from zaffre.image.disk import DiskPlan, ServerDisk, write_disk, write_server_disk
from zaffre.image.ext4 import make_ext4
from zaffre.image.labelling import label_ext4
from zaffre.image.policy import labels_in
from zaffre.image.seal import Compression, make_erofs, make_verity
from zaffre.image.uki import build_uki, sign_boot_loader
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.trust import Keys
from zaffre.trust.generate import init_keys

EPOCH = 1_777_000_000
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
MIB = 1 << 20


@dataclass
class Workplace:
    """A store, keys, and one image of each form in `sealed` and `writable`, with the trees that they were made of."""

    root: Path
    sandbox: Sandbox

    def __post_init__(self) -> None:
        self.store = Store(self.root / "store")
        self.keys: Keys = init_keys(self.root / "keys", owner="Tiny", now=datetime.now(UTC))
        self.tree = self.root / "tree"
        make_tree(self.tree)
        self.sealed, self.writable = self.root / "sealed.raw", self.root / "writable.raw"
        self._make_sealed()
        self.make_writable(self.writable, self.tree, self.root / "writing")

    def bench(self, *, signing: bool = True) -> Bench:
        keys = self.keys if signing else None
        return Bench(
            store=self.store,
            sandbox=self.sandbox,
            progress=SILENT,
            keys=signing_keys(keys) if keys else None,
            signer=keys.release_signer() if keys else None,
        )

    def customise(
        self, image: Path, changes: Path, out: Path, *, signing: bool = True, dry_run: bool = False
    ) -> Report:
        return customise(image, Order(ChangesFile(changes), out, dry_run=dry_run), self.bench(signing=signing))

    def _make_sealed(self) -> None:
        work = self.root / "sealing"
        work.mkdir()
        erofs, verity = work / "root.erofs", work / "root.verity"
        lz4 = Compression("lz4", 65536)
        make_erofs(self.tree, erofs, compression=lz4, epoch=EPOCH, label="tiny", sandbox=self.sandbox)
        root_hash = make_verity(erofs, verity, digest=sha256_file(erofs), sandbox=self.sandbox)
        self._make_esp(work, f"roothash={root_hash} root=/dev/mapper/root rootfstype=erofs ro quiet")
        plan = DiskPlan("amd64", "tiny", "1.2", root_hash, 40 * MIB, 8 * MIB, 4 * MIB, 16 * MIB)
        write_disk(
            plan,
            self.sealed,
            esp=work / "esp",
            root=erofs,
            verity=verity,
            scratch=work,
            epoch=EPOCH,
            sandbox=self.sandbox,
        )

    def make_writable(self, target: Path, tree: Path, work: Path) -> None:
        """Of a tree with a table of SELinux labels, the root has those."""
        work.mkdir()
        ext4 = work / "root.ext4"
        make_ext4(tree, ext4, size=32 * MIB, label="root", seed=uuid.uuid4(), epoch=EPOCH, sandbox=self.sandbox)
        if tables := labels_in(tree):
            label_ext4(ext4, tree, tables, epoch=EPOCH, scratch=work, sandbox=self.sandbox)
        self._make_esp(work, "root=gpt-auto rw quiet")
        disk = ServerDisk("amd64", "tiny", "1.2", 40 * MIB, 32 * MIB)
        write_server_disk(disk, target, esp=work / "esp", root=ext4, scratch=work, epoch=EPOCH, sandbox=self.sandbox)

    def _make_esp(self, work: Path, arguments: str) -> None:
        esp = work / "esp"
        for folder in ("EFI/Linux", "EFI/BOOT", "loader"):
            (esp / folder).mkdir(parents=True)
        (esp / "loader/loader.conf").write_text("timeout 0\n")
        for name, content in (
            ("vmlinuz", b"no kernel\n" * 1000),
            ("initrd", b"no initrd"),
            ("os-release", b"ID=tiny\n"),
        ):
            (work / name).write_bytes(content)
        keys = signing_keys(self.keys)
        build_uki(
            esp / "EFI/Linux/tiny_1.2.efi",
            kernel=work / "vmlinuz",
            kernel_version="6.0",
            initrd=work / "initrd",
            os_release=work / "os-release",
            arguments=arguments,
            architecture="amd64",
            keys=keys,
            epoch=EPOCH,
            scratch=work,
            sandbox=self.sandbox,
        )
        loader = esp / "EFI/BOOT/BOOTX64.EFI"
        sign_boot_loader(loader, architecture="amd64", keys=keys, epoch=EPOCH, sandbox=self.sandbox)
        for path in (esp, *esp.rglob("*")):
            os.utime(path, (EPOCH, EPOCH))


def make_tree(root: Path) -> None:
    """Owners, setuid and sticky bits, a capability, hard and symbolic links, units."""
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for name in ("multi-user.target", "app.service", "other.service"):
        text = "[Unit]\nDescription=x\n"
        if name.endswith(".service"):
            text += "[Service]\nExecStart=/usr/bin/tool\n[Install]\nWantedBy=multi-user.target\n"
        (units / name).write_text(text)
    for folder in ("etc", "tmp", "var", "usr/bin"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    for name, mode, owner in (("tool", 0o755, 0), ("su", 0o4755, 0), ("wall", 0o2755, 5), ("ping", 0o755, 0)):
        path = root / "usr/bin" / name
        path.write_text(name * 1000)
        os.chown(path, 0, owner)
        path.chmod(mode)
    os.setxattr(root / "usr/bin/ping", "security.capability", CAPABILITY)
    (root / "usr/bin/tool2").hardlink_to(root / "usr/bin/tool")
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/secret").write_text("secret\n")
    (root / "etc/secret").chmod(0o600)
    os.chown(root / "etc/secret", 1234, 4321)
    for path in (root, *root.rglob("*")):
        os.utime(path, (EPOCH - 1000, EPOCH - 1000), follow_symlinks=False)


def changes(folder: Path, text: str = "", **files: str) -> Path:
    """A file of changes; `files` are laid over /etc by `trees = ["files"]`."""
    folder.mkdir(parents=True, exist_ok=True)
    if files:
        (folder / "files/etc").mkdir(parents=True)
        for name, content in files.items():
            (folder / "files/etc" / name).write_text(content)
        text = f'files.trees = ["files"]\n{text}'
    path = folder / "changes.toml"
    path.write_text(text)
    return path


def copy_to(image: Path, target: Path) -> Path:
    """A copy that can be damaged."""
    shutil.copyfile(image, target)
    return target
