# SPDX-License-Identifier: Apache-2.0
"""What is inside a build's files: signatures, root hash, hash tree and the partitions of the disk image.

Files whose own hash does not hold are looked at all the same, since where a difference lies is what
somebody who found one wants to know.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from zaffre.bill import CYCLONEDX_NAME, PROVENANCE_NAME, SPDX_NAME
from zaffre.definition import Form
from zaffre.errors import IntegrityError
from zaffre.manifest import Manifest
from zaffre.measured.prediction import ATTESTATION_NAME, KEY_PHASE, predict, read_prediction
from zaffre.measured.signedvalues import has_signed_values, wrong_values
from zaffre.pe import text_sections
from zaffre.progress import Progress
from zaffre.trust.attested import PAPERS, check_bills, check_provenance
from zaffre.trust.container import ARCHIVE, LAYOUT, check_archive, check_layout
from zaffre.trust.extension import check_seal, partition_uuids, require_root_hash
from zaffre.trust.forms import INVENTORY, check_form
from zaffre.trust.gpt import ESP, Partition, read_partitions
from zaffre.trust.inspector import BUILD, DB_CERTIFICATE, SCRATCH, Inspector, Verdict, last_words
from zaffre.trust.keys import Role
from zaffre.trust.listed import READ, check_files

FOREIGN = "foreign"
"""The kind of an image that starts by a boot loader of its own, of which nothing but the manifest is ours."""

_CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True)
class _Planned:
    name: str
    needs: tuple[str, ...]
    check: Callable[[], Verdict]


def check_contents(manifest: Manifest, inspector: Inspector, progress: Progress) -> Iterator[tuple[str, Verdict]]:
    """All checks that the kind of image has, by name. A check whose file is missing fails."""
    for planned in (*_plan(manifest, inspector), *_papers(manifest, inspector)):
        missing = [name for name in planned.needs if not (inspector.directory / name).is_file()]
        if missing:
            yield planned.name, Verdict(ok=False, detail=f"could not be looked at without {', '.join(missing)}")
            continue
        with progress.step(f"verify {planned.name}") as remark:
            try:
                verdict = planned.check()
            except IntegrityError as error:
                verdict = Verdict(ok=False, detail=str(error))
            remark("holds" if verdict.ok else "does not hold")
        yield planned.name, verdict


def _papers(manifest: Manifest, inspector: Inspector) -> list[_Planned]:
    """Builds have them all or none: those that were made before there were any, or of somebody's ready image."""
    if not any(name in manifest.artifacts for name in PAPERS):
        return []
    folder = inspector.directory
    bills, files = (CYCLONEDX_NAME, SPDX_NAME), READ.get(manifest.kind)
    provenance = partial(check_provenance, folder, manifest, inspector.certificates)
    planned = [
        _Planned("provenance", (PROVENANCE_NAME,), provenance),
        _Planned("bill of materials", bills, partial(check_bills, folder, manifest)),
    ]
    if INVENTORY in manifest.artifacts:
        needs = (SPDX_NAME, INVENTORY, *((files,) if files is not None else ()))
        planned.append(_Planned("files and packages", needs, partial(check_files, manifest, inspector)))
    return planned


def _plan(manifest: Manifest, inspector: Inspector) -> list[_Planned]:
    # An extension's own file, or those that a host brings along.
    seals = [
        _Planned(f"seal of {name}", (name,), partial(check_seal, inspector.directory / name, inspector))
        for name in sorted(manifest.artifacts)
        if name.endswith(".raw") and "/" not in name and name != Form.RAW.file_name
    ]
    if manifest.kind in {"sysext", "confext"}:
        return seals
    if manifest.kind == FOREIGN:
        return []
    if manifest.kind == "container":
        folder = inspector.directory
        return [
            _Planned("image layout", (f"{LAYOUT}/index.json",), partial(check_layout, folder, manifest)),
            _Planned("archive of the layout", (ARCHIVE,), partial(check_archive, folder, manifest)),
        ]
    forms = [
        _Planned(f"{form.file_name} holds the same", needs, partial(check_form, form, inspector))
        for form in Form
        if form is not Form.RAW and form.file_name in manifest.artifacts
        for needs in [(form.file_name, "inventory.json" if form.of_tree else Form.RAW.file_name)]
    ]
    if manifest.kind == "wsl":
        return forms
    system = _System(inspector, manifest)
    sealed = [
        _Planned("kernel image root hash", ("uki.efi",), system.uki_root_hash),
        _Planned("root hash tree", ("root.erofs", "root.verity"), system.hash_tree),
        _Planned("root in the disk image", ("image.raw", "root.erofs", "root.verity"), system.root_partitions),
    ]
    # Builds have it since they predict anything.
    measured = [_Planned("predicted measurements", (ATTESTATION_NAME, "uki.efi", "image.raw"), system.predictions)]
    has_values = system.file("uki.efi").is_file() and has_signed_values(system.file("uki.efi"))
    sealing = [_Planned("signed PCR values", ("uki.efi",), system.signed_values)]
    return [
        _Planned("kernel image signature", ("uki.efi",), system.uki_signature),
        *(sealed if manifest.kind == "host" else ()),
        _Planned("kernel image in the disk image", ("image.raw", "uki.efi"), system.installed_uki),
        _Planned("boot loader signature", ("image.raw",), system.boot_loader),
        *(measured if ATTESTATION_NAME in manifest.artifacts else ()),
        *(sealing if has_values else ()),
        *seals,
        *forms,
    ]


@dataclass(frozen=True)
class _System:
    inspector: Inspector
    manifest: Manifest

    def file(self, name: str) -> Path:
        return self.inspector.directory / name

    def uki_signature(self) -> Verdict:
        return self._signed(f"{BUILD}/uki.efi", "uki.efi")

    def uki_root_hash(self) -> Verdict:
        wanted = require_root_hash(self.manifest.root_hash)
        lines = text_sections(self.file("uki.efi"), ".cmdline")
        if not lines:
            return Verdict(ok=False, detail="uki.efi has no .cmdline section")
        for line in lines:
            found = [word.removeprefix("roothash=") for word in line.split() if word.startswith("roothash=")]
            if found != [wanted]:
                said = f"roothash={', '.join(found)}" if found else "no roothash="
                return Verdict(ok=False, detail=f"uki.efi says {said}, the manifest {wanted}")
        return Verdict(ok=True, detail=f"roothash={wanted[:16]}... in the signed command line")

    def hash_tree(self) -> Verdict:
        return self.inspector.hash_tree(
            f"{BUILD}/root.erofs", f"{BUILD}/root.verity", require_root_hash(self.manifest.root_hash)
        )

    def root_partitions(self) -> Verdict:
        """Found by the root hash, as the initrd finds them (systemd-veritysetup-generator(8))."""
        image = self.file("image.raw")
        partitions = {partition.uuid: partition for partition in read_partitions(image)}
        identities = partition_uuids(require_root_hash(self.manifest.root_hash))
        for name, identity in zip(("root.erofs", "root.verity"), identities, strict=True):
            partition = partitions.get(identity)
            if partition is None:
                return Verdict(ok=False, detail=f"no partition of image.raw has the UUID {identity}, for {name}")
            fault = _difference(image, partition, self.file(name))
            if fault:
                return Verdict(ok=False, detail=f"partition {partition.label!r} is not {name}: {fault}")
        return Verdict(ok=True, detail="both partitions equal their files bit for bit")

    def installed_uki(self) -> Verdict:
        with self._from_system_partition("EFI/Linux") as (name, copy):
            if not _equal(copy, self.file("uki.efi")):
                return Verdict(ok=False, detail=f"{name} differs from uki.efi")
            return Verdict(ok=True, detail=f"{name} equals uki.efi bit for bit")

    def boot_loader(self) -> Verdict:
        """At the removable-media path of the UEFI specification (3.5.1.1)."""
        with self._from_system_partition("EFI/BOOT") as (name, copy):
            return self._signed(f"{SCRATCH}/{copy.name}", name, scratch=copy.parent)

    def predictions(self) -> Verdict:
        """That the files measure what the build says, by which nodes are judged that nobody looks into."""
        told = read_prediction(self.file(ATTESTATION_NAME).read_bytes(), ATTESTATION_NAME)
        with self._from_system_partition("EFI/BOOT") as (_, loader):
            found = predict(
                self.file("uki.efi"),
                loader=loader,
                certificate=self.inspector.certificates[Role.DB].path,
                image=self.manifest.image,
                version=self.manifest.version,
                architecture=self.manifest.architecture,
            )
        unlike = [name for name, value in found if value != getattr(told, name)]
        if unlike:
            return Verdict(ok=False, detail=f"{ATTESTATION_NAME} has another {', '.join(unlike)} than the files")
        return Verdict(ok=True, detail=f"boot loader and kernel image measure what {ATTESTATION_NAME} says")

    def signed_values(self) -> Verdict:
        """By which a TPM unlocks `/var`."""
        key = self.inspector.certificates[Role.PCR]
        if not isinstance(key.public_key, rsa.RSAPublicKey):  # load_certificates has seen to it
            raise IntegrityError("the PCR key is not RSA", where=str(key.path))
        wrong = wrong_values(self.file("uki.efi"), key.public_key)
        if wrong:
            return Verdict(ok=False, detail=f"uki.efi: {wrong}")
        detail = f"uki.efi is given the key of /var in {KEY_PHASE} alone, by PCR key {key.fingerprint[:16]}"
        return Verdict(ok=True, detail=detail)

    def _signed(self, path: str, name: str, *, scratch: Path | None = None) -> Verdict:
        done = self.inspector.ask(["sbverify", "--cert", DB_CERTIFICATE, path], scratch=scratch)
        who = f"db certificate {self.inspector.certificates[Role.DB].fingerprint[:16]}"
        if done.returncode == 0:
            return Verdict(ok=True, detail=f"{name} is signed by {who}")
        return Verdict(ok=False, detail=f"{name} is not signed by {who}: {last_words(done)}")

    @contextmanager
    def _from_system_partition(self, folder: str) -> Iterator[tuple[str, Path]]:
        """The one EFI program in a folder of the ESP: its path there and a copy of it. Raises IntegrityError."""
        found = [partition for partition in read_partitions(self.file("image.raw")) if partition.type == ESP]
        if len(found) != 1:
            raise IntegrityError(f"image.raw has {len(found)} EFI system partitions, not one")
        drive = f"{BUILD}/image.raw@@{found[0].offset}"
        listing = self.inspector.ask(["mdir", "-b", "-i", drive, f"::/{folder}"])
        if listing.returncode != 0:
            raise IntegrityError(f"{folder} of the EFI system partition can't be read: {last_words(listing)}")
        names = [line for line in listing.stdout.decode(errors="replace").splitlines() if line.lower().endswith(".efi")]
        if len(names) != 1:
            raise IntegrityError(f"{folder} holds {len(names)} programs, not one: {', '.join(names)}")
        with tempfile.TemporaryDirectory(prefix="zaffre-verify-") as scratch:
            copy = Path(scratch) / "copy.efi"
            copied = self.inspector.ask(["mcopy", "-n", "-i", drive, names[0], "-"], stdout=copy)
            if copied.returncode != 0:
                raise IntegrityError(f"{names[0]} can't be read: {last_words(copied)}")
            yield names[0].removeprefix("::/"), copy


def _difference(image: Path, partition: Partition, file: Path) -> str | None:
    """None if the partition begins with the file and the rest is zeros; else the first difference."""
    size = file.stat().st_size
    if size > partition.size:
        return f"the partition has {partition.size} bytes, the file {size}"
    with image.open("rb") as left, file.open("rb") as right:
        left.seek(partition.offset)
        for position in range(0, partition.size, _CHUNK):
            want = min(_CHUNK, partition.size - position)
            ours, theirs = left.read(want), right.read(want).ljust(want, b"\0")
            if ours != theirs:
                pairs = enumerate(zip(ours, theirs, strict=False))
                first = next((index for index, (a, b) in pairs if a != b), len(ours))
                return f"first difference at byte {position + first}"
    return None


def _equal(left: Path, right: Path) -> bool:
    if left.stat().st_size != right.stat().st_size:
        return False
    with left.open("rb") as a, right.open("rb") as b:
        while chunk := a.read(_CHUNK):
            if chunk != b.read(_CHUNK):
                return False
    return True
