# SPDX-License-Identifier: Apache-2.0
"""What an encrypted /var adds to an initrd, and the signature by which a TPM knows a kernel image."""

from __future__ import annotations

import base64
import configparser
import hashlib
import json
import re
import shutil
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from support.lab import Lab
from support.pcr import pcr_11
from zaffre.cli.making import Making
from zaffre.definition import Image, Kind, VarEncryption
from zaffre.definition.image import Disk
from zaffre.digest import sha256_bytes
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.image.elf import LibraryFinder
from zaffre.image.encryption import RECOVERY_KEY, encryption_needs
from zaffre.image.state import StateFiles, state_files
from zaffre.image.uki import PcrKey, boot_loader_name, join_uki
from zaffre.measured.prediction import KEY_PHASE
from zaffre.measured.signedvalues import has_signed_values, wrong_values
from zaffre.pe import sections
from zaffre.sandbox import Mount, Sandbox
from zaffre.trust import Role

UNITS = "usr/lib/systemd/system"


def host(encryption: VarEncryption) -> Image:
    return Image(name="host", kind=Kind.HOST, upstream="debian", disk=Disk(var_encryption=encryption))


PLAIN = state_files(host(VarEncryption.NONE))
ENCRYPTED = state_files(host(VarEncryption.TPM2))


def merged(files: StateFiles, unit: str) -> dict[str, list[str]]:
    """Settings of a generated unit with its drop-ins, as systemd reads them: an empty value forgets those before."""
    found: dict[str, list[str]] = {}
    names = [f"{UNITS}/{unit}", *sorted(name for name in files.initrd if name.startswith(f"{UNITS}/{unit}.d/"))]
    for text in (files.initrd[name] for name in names if name in files.initrd):
        for key, value in re.findall(r"^(\w+)=(.*)$", text.replace("\\\n", ""), re.MULTILINE):
            found[key] = [*found.get(key, []), *value.split()] if value else []
    return found


def test_without_encryption_nothing_is_there_of_it() -> None:
    assert not any("tpm" in text or "LUKS" in text or "/dev/mapper" in text for text in PLAIN.initrd.values())
    assert encryption_needs(host(VarEncryption.NONE)) == encryption_needs(host(VarEncryption.NONE)).__class__()
    assert PLAIN.initrd.items() <= ENCRYPTED.initrd.items(), "what is added changes no other file"


def test_var_is_mounted_from_the_mapping_and_from_nothing_else() -> None:
    mount, unlock = merged(ENCRYPTED, "sysroot-var.mount"), merged(ENCRYPTED, "zaffre-unlock-var.service")
    assert mount["What"][-1] == "/dev/mapper/var"
    assert "zaffre-unlock-var.service" in mount["Requires"]
    assert "zaffre-unlock-var.service" in mount["After"]
    assert "headless=yes" in unlock["ExecStart"][-1], "nobody is asked for a passphrase"


def test_the_key_is_given_after_its_phase_has_begun() -> None:
    unlock = merged(ENCRYPTED, "zaffre-unlock-var.service")
    assert {"systemd-pcrphase-initrd.service", "systemd-repart.service"} <= set(unlock["After"])
    # What ends with the initrd is not asked for by what stays: it would be kept from its end, or end the other.
    asked = {*unlock["Requires"], *unlock.get("Wants", [])}
    assert not {"systemd-pcrphase-initrd.service", "systemd-repart.service"} & asked
    assert unlock["IgnoreOnIsolate"] == ["yes"]
    assert KEY_PHASE == "enter-initrd"


def test_the_key_is_sealed_to_what_is_signed_and_to_the_state_of_secure_boot() -> None:
    repart = merged(ENCRYPTED, "systemd-repart.service")
    sealed = [
        "--tpm2-pcrs=7+12",
        "--tpm2-public-key-pcrs=11",
        "--tpm2-public-key=/.extra/tpm2-pcr-public-key.pem",
    ]
    assert {*sealed, "--definitions=/usr/lib/repart.d"} < set(repart["ExecStart"])
    assert repart["ConditionPathExists"] == [], "the partition grows at each boot"
    recoverable = merged(ENCRYPTED, "zaffre-recoverable-var.service")
    assert set(sealed) < set(recoverable["ExecStart"])
    assert recoverable["ConditionCredential"] == [RECOVERY_KEY]


def test_a_recovery_key_opens_beside_the_tpm_and_not_instead_of_it() -> None:
    def encrypt(name: str) -> str:
        parser = configparser.ConfigParser()
        parser.read_string(ENCRYPTED.initrd[name])
        return parser["Partition"]["Encrypt"]

    assert encrypt("usr/lib/repart.d/50-var.conf.d/encryption.conf") == "tpm2"
    assert encrypt("usr/lib/zaffre/recoverable/50-var.conf.d/encryption.conf") == "key-file+tpm2"
    assert ENCRYPTED.initrd["usr/lib/zaffre/recoverable/50-var.conf"] == "->/usr/lib/repart.d/50-var.conf"


def test_a_library_that_is_missing_is_named_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"libtss2-esys\.so\.0") as caught:
        LibraryFinder(tmp_path, "x86_64-linux-gnu").library("libtss2-esys.so.0", wanted_by="disk.var_encryption")
    assert caught.value.where == "disk.var_encryption"


@pytest.fixture(scope="module")
def sandbox(lab: Lab) -> Sandbox:
    with lab.workspace() as work:
        return Making(work).sandbox


def joined(lab: Lab, sandbox: Sandbox, folder: Path, *, arguments: str = "ro") -> Path:
    """A kernel image of small parts; the boot loader stands for a kernel, as the stub does not run here."""
    folder.mkdir()
    for name in ("initrd", "os-release"):
        (folder / name).write_text(f"ID=zaffre {name}\n")
    target = folder / "uki.efi"
    join_uki(
        target,
        kernel=sandbox.tools.root / "usr/lib/systemd/boot/efi" / boot_loader_name("amd64"),
        kernel_version="6.12",
        initrd=folder / "initrd",
        os_release=folder / "os-release",
        arguments=arguments,
        architecture="amd64",
        epoch=1,
        sandbox=sandbox,
        pcr=PcrKey(lab.keys / Role.PCR.private_name, lab.keys / Role.PCR.public_name),
    )
    return target


def policy_of(uki: Path, phases: tuple[str, ...]) -> bytes:
    """The digest of TPM2_PolicyPCR (TCG TPM 2.0 Library, part 3, 23.7) for PCR 11 after these phases."""
    pcr = pcr_11(uki, phases)
    selection = struct.pack(">IHB3s", 1, 0x000B, 3, bytes([0, 1 << (11 - 8), 0]))
    return hashlib.sha256(bytes(32) + struct.pack(">I", 0x17F) + selection + hashlib.sha256(pcr).digest()).digest()


def test_the_signature_is_over_what_pcr_11_holds_when_the_initrd_has_begun(
    lab: Lab, sandbox: Sandbox, tmp_path: Path
) -> None:
    uki = joined(lab, sandbox, tmp_path / "one")
    contents = dict(sections(uki))
    (told,) = json.loads(contents[".pcrsig"])["sha256"]
    public = load_pem_public_key(contents[".pcrpkey"])
    assert isinstance(public, rsa.RSAPublicKey)
    assert contents[".pcrpkey"] == (lab.keys / "pcr.pub").read_bytes()
    assert told["pkfp"] == sha256_bytes(public.public_bytes(Encoding.DER, PublicFormat.PKCS1))
    assert told["pcrs"] == [11]
    policy = policy_of(uki, ("enter-initrd",))
    assert bytes.fromhex(told["pol"]) == policy
    signature = base64.b64decode(told["sig"])
    public.verify(signature, policy, padding.PKCS1v15(), hashes.SHA256())
    for later in ((), ("enter-initrd", "leave-initrd")):
        with pytest.raises(InvalidSignature):
            public.verify(signature, policy_of(uki, later), padding.PKCS1v15(), hashes.SHA256())


def test_equal_parts_give_an_equal_image_and_another_command_line_another_signature(
    lab: Lab, sandbox: Sandbox, tmp_path: Path
) -> None:
    first, second = (joined(lab, sandbox, tmp_path / name) for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    other = joined(lab, sandbox, tmp_path / "other", arguments="rw")
    assert dict(sections(other))[".pcrsig"] != dict(sections(first))[".pcrsig"]


def with_values(sandbox: Sandbox, uki: Path, values: bytes) -> Path:
    """The same image, but for its signed values."""
    changed = uki.with_name("changed.efi")
    (uki.parent / "values").write_bytes(values)
    shutil.copy(uki, changed)
    for words in (["--remove-section", ".pcrsig"], ["--add-section", ".pcrsig=/job/values"]):
        command = ["objcopy", *words, f"/job/{changed.name}"]
        sandbox.run(command, mounts=[Mount(uki.parent, "/job", writable=True)], timeout=60)
    return changed


def test_signed_values_that_are_not_of_this_image_in_its_phase_are_found(
    lab: Lab, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Whoever has the key of releases, but not the PCR key, cannot have `/var` opened by another image, or later."""
    uki, other = joined(lab, sandbox, tmp_path / "one"), joined(lab, sandbox, tmp_path / "other", arguments="rw")
    key = load_pem_public_key((lab.keys / "pcr.pub").read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    assert has_signed_values(uki)
    assert wrong_values(uki, key) is None
    strange = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert wrong_values(uki, strange.public_key()) == "its .pcrpkey is not the owner's PCR key"

    data = dict(sections(uki))[".pcrsig"].rstrip(b"\0")
    (value,) = json.loads(data)["sha256"]
    by_strange = strange.sign(bytes.fromhex(value["pol"]), padding.PKCS1v15(), hashes.SHA256())
    later = policy_of(uki, ("enter-initrd", "leave-initrd")).hex()
    wrong = {
        "a value is not what it leaves in PCR 11 in the phase enter-initrd": [{**value, "pol": later}],
        "a value is of the PCRs 7, 11, not of 11": [{**value, "pcrs": [7, 11]}],
        "a value names another key than the owner's PCR key": [{**value, "pkfp": "0" * 64}],
        "a value is not signed by the owner's PCR key": [{**value, "sig": base64.b64encode(by_strange).decode()}],
        "it has 2 signed values, not one": [value, {**value, "pol": later}],
    }
    for what, values in wrong.items():
        assert wrong_values(with_values(sandbox, uki, json.dumps({"sha256": values}).encode()), key) == what
    moved = with_values(sandbox, uki, dict(sections(other))[".pcrsig"])
    assert wrong_values(moved, key) == "a value is not what it leaves in PCR 11 in the phase enter-initrd"
    moved.write_bytes(uki.read_bytes().replace(b".uname\0\0", b".pcrsig\0", 1))
    with pytest.raises(IntegrityError, match=r"several sections \.pcrsig"):
        wrong_values(moved, key)
    for malformed in (b"[]", b"{", json.dumps({"sha256": [value], "sha1": [value]}).encode()):
        with pytest.raises(IntegrityError, match="does not have the form"):
            wrong_values(with_values(sandbox, uki, malformed), key)
