# SPDX-License-Identifier: Apache-2.0
"""Builds to verify, made by the field's own tools in a few lines: small, but with every link of the chain."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from zaffre.manifest import MANIFEST_NAME, SIGNATURE_NAME, Artifact, Manifest
from zaffre.sandbox import Mount, Sandbox
from zaffre.trust import Keys, Role

_BOOT = "/usr/lib/systemd/boot/efi"
_SECONDS = 120.0


def sign(folder: Path, keys: Keys, **changes: object) -> None:
    """Write the manifest for the files that are there, and its signature."""
    fields: dict[str, object] = {
        "image": "tiny",
        "kind": "sysext",
        "version": "1.20260504.1",
        "architecture": "amd64",
        "profile": "dev",
        "debug": False,
        "definition": "0" * 64,
        "lock": "0" * 64,
        "tools": "0" * 64,
        "epoch": 1_777_000_000,
        "packages": [],
        "build": {"key": "0" * 64, "steps": [], "wall_seconds": 1.0, "cpu_seconds": 1.0, "peak_memory_bytes": 1},
        "artifacts": {
            path.relative_to(folder).as_posix(): Artifact(
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size=path.stat().st_size
            )
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in {MANIFEST_NAME, SIGNATURE_NAME}
        },
    }
    text = Manifest.model_validate({**fields, **changes}).model_dump_json(indent=1).encode()
    (folder / MANIFEST_NAME).write_bytes(text)
    (folder / SIGNATURE_NAME).write_bytes(keys.release_signer().sign_bytes(text))


def host_build(folder: Path, scratch: Path, keys: Keys, sandbox: Sandbox) -> str:
    """A disk with ESP, root and hash tree, beside the files that are in it. Returns the root hash."""
    mounts = [
        Mount(folder, "/build", writable=True),
        Mount(scratch, "/scratch", writable=True),
        Mount(keys.private_path(Role.DB), "/keys/db.key"),
        Mount(keys.public_path(Role.DB), "/keys/db.crt"),
    ]

    def tool(*argv: str) -> str:
        return sandbox.run(argv, mounts=mounts, timeout=_SECONDS, env={"TMPDIR": "/run"}).stdout.decode()

    tree = scratch / "tree"
    (tree / "usr").mkdir(parents=True)
    (tree / "usr" / "hello").write_text("hello\n" * 10_000)
    tool("mkfs.erofs", "--quiet", "/build/root.erofs", "/scratch/tree")
    answer = tool("veritysetup", "format", "/build/root.erofs", "/build/root.verity")
    found = re.search(r"Root hash:\s+(\w+)", answer)
    assert found is not None
    root_hash = found[1]
    (scratch / "kernel").write_bytes(b"no kernel\n" * 1000)
    command = f"quiet roothash={root_hash} ro"
    stub = f"{_BOOT}/linuxx64.efi.stub"
    tool("ukify", "build", "--linux=/scratch/kernel", f"--cmdline={command}", "--uname=6.0", f"--stub={stub}",
         "--os-release=ID=tiny", "--output=/scratch/uki.efi")  # fmt: skip
    for source, target in (("/scratch/uki.efi", "/build/uki.efi"), (f"{_BOOT}/systemd-bootx64.efi", "/scratch/b.efi")):
        tool("sbsign", "--key=/keys/db.key", "--cert=/keys/db.crt", f"--output={target}", source)
    esp = scratch / "esp"
    for name, file in (("EFI/Linux/tiny_1.efi", folder / "uki.efi"), ("EFI/BOOT/BOOTX64.EFI", scratch / "b.efi")):
        (esp / name).parent.mkdir(parents=True)
        (esp / name).write_bytes(file.read_bytes())
    write_disk(folder, scratch, root_hash, sandbox)
    return root_hash


def write_disk(folder: Path, scratch: Path, root_hash: str, sandbox: Sandbox) -> None:
    """image.raw from the files in `folder` and the ESP's tree in `scratch`."""
    size = "SizeMinBytes={0}\nSizeMaxBytes={0}\n"
    hashes = (root_hash[:32], root_hash[32:])
    parts = {
        "10": f"Type=esp\nFormat=vfat\nCopyFiles=/scratch/esp:/\n{size.format('40M')}",
        "20": f"Type=root-x86-64\nUUID={hashes[0]}\nCopyBlocks=/build/root.erofs\n{size.format('10M')}",
        "30": f"Type=root-x86-64-verity\nUUID={hashes[1]}\nCopyBlocks=/build/root.verity\n{size.format('10M')}",
        "40": f"Type=root-x86-64\nLabel=_empty\n{size.format('10M')}",
    }
    (folder / "image.raw").unlink(missing_ok=True)
    _repart(folder / "image.raw", parts, scratch, [Mount(folder, "/build")], sandbox, "--size=100M")


def extension_build(folder: Path, scratch: Path, keys: Keys, sandbox: Sandbox) -> None:
    """A signed system extension: data, hash tree and signature partitions."""
    tree = scratch / "usr" / "lib" / "extension-release.d"
    tree.mkdir(parents=True)
    (tree / "extension-release.tiny").write_text("ID=tiny\n")
    parts = {
        "10": "Type=root-x86-64\nFormat=erofs\nCopyFiles=/scratch/usr:/usr\nVerity=data\nVerityMatchKey=r\n"
        "Minimize=best\n",
        "20": "Type=root-x86-64-verity\nVerity=hash\nVerityMatchKey=r\nMinimize=best\n",
        "30": "Type=root-x86-64-verity-sig\nVerity=signature\nVerityMatchKey=r\n",
    }
    key_mounts = [
        Mount(keys.private_path(Role.VERITY), "/keys/verity.key"),
        Mount(keys.public_path(Role.VERITY), "/keys/verity.crt"),
    ]
    options = ("--size=auto", "--private-key=/keys/verity.key", "--certificate=/keys/verity.crt")
    _repart(folder / "extension.raw", parts, scratch, key_mounts, sandbox, *options)


def unsigned_extension(folder: Path, scratch: Path, sandbox: Sandbox) -> None:
    """extension.raw anew, of the data and the hash tree in `scratch` alone."""
    parts = {
        "10": "Type=root-x86-64\nCopyBlocks=/scratch/data\n",
        "20": "Type=root-x86-64-verity\nCopyBlocks=/scratch/tree\n",
    }
    _repart(folder / "extension.raw", parts, scratch, [], sandbox, "--size=auto")


def _repart(
    target: Path, parts: dict[str, str], scratch: Path, mounts: list[Mount], sandbox: Sandbox, *options: str
) -> None:
    definitions = scratch / f"{target.stem}.repart.d"
    definitions.mkdir(exist_ok=True)
    for name, text in parts.items():
        (definitions / f"{name}.conf").write_text(f"[Partition]\n{text}")
    sandbox.run(
        ["systemd-repart", "--empty=create", "--offline=yes", "--dry-run=no", "--no-pager", "--sector-size=512",
         f"--definitions=/scratch/{definitions.name}", *options, f"/scratch/{target.name}"],
        mounts=[Mount(scratch, "/scratch", writable=True), *mounts],
        env={"TMPDIR": "/run"},
        timeout=_SECONDS,
    )  # fmt: skip
    (scratch / target.name).rename(target)
