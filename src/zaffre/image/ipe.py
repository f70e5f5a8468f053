# SPDX-License-Identifier: Apache-2.0
"""Integrity Policy Enforcement of a host (kernel, admin-guide/LSM/ipe.rst): its policy, and what the kernel trusts.

All that is executed lies under a dm-verity tree whose root hash is signed by the db key: the root's signature is on the
signed command line, an extension has one in a partition. The firmware's db is what Linux takes its platform keyring
from, and of that keyring are policies and root hashes verified (CONFIG_IPE_POLICY_SIG_PLATFORM_KEYRING,
CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING).

The policy lies in the root, where its system manager looks for it: it loads the policy before it starts any other
program of the root, and stops if it cannot (systemd, src/core/ipe-setup.c). The initrd has none: what is executed there
is of the signed kernel image. So no rule has to allow the initrd's file system, which can be written to for as long as
the machine runs.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from zaffre.definition import Image, IpeMode
from zaffre.image.uki import SigningKeys
from zaffre.sandbox import Mount, Sandbox

POLICY_NAME = "zaffre"
POLICY_FILE = f"usr/lib/ipe/{POLICY_NAME}.p7b"
"""It has the policy's name: the manager activates what is called like the file."""
_OPERATIONS = ("EXECUTE", "FIRMWARE", "KMODULE")
_VERITY_OPTIONS = "systemd.verity_root_options="
_SIGN_SECONDS = 60.0
# Whoever has this capability can load another signed policy, or switch enforcement off. The manager drops it once it
# has loaded the policy: nobody has it until the next boot (systemd-system.conf(5)).
_LOCKED = "[Manager]\nCapabilityBoundingSet=~CAP_MAC_ADMIN\n"


def policy_text() -> str:
    """The policy. What it does not name (memory without a file, kernels for kexec, certificates) is refused."""
    rules = (f"op={operation} dmverity_signature=TRUE action=ALLOW" for operation in _OPERATIONS)
    return "\n".join((f"policy_name={POLICY_NAME} policy_version=1.0.0", "DEFAULT action=DENY", *rules, ""))


def ipe_files(image: Image) -> dict[str, str]:
    """Further files of the root, by relative path."""
    if image.ipe.mode is not IpeMode.ENFORCING:
        return {}
    return {"usr/lib/systemd/system.conf.d/50-zaffre-ipe.conf": _LOCKED}


def has_policy(image: Image) -> bool:
    """Whether what the image executes has to be signed for its kernel."""
    return image.ipe.mode is not IpeMode.OFF


def signed_policy(keys: SigningKeys, *, scratch: Path, sandbox: Sandbox) -> bytes:
    """The policy inside of its signature."""
    return _sign(policy_text().encode(), ["-nodetach"], keys, scratch=scratch, sandbox=sandbox)


def with_signature(words: Sequence[str], root_hash: str, keys: SigningKeys, *, scratch: Path, sandbox: Sandbox) -> str:
    """The kernel's arguments with a signature of `root_hash`, which the initrd gives to dm-verity (veritytab(5),
    root-hash-signature=).
    """
    signature = _sign(root_hash.encode(), [], keys, scratch=scratch, sandbox=sandbox)
    option = f"root-hash-signature=base64:{base64.b64encode(signature).decode()}"
    given = [word.removeprefix(_VERITY_OPTIONS) for word in words if word.startswith(_VERITY_OPTIONS)]
    others = [word for word in words if not word.startswith(_VERITY_OPTIONS)]
    return " ".join((*others, f"{_VERITY_OPTIONS}{','.join((*given, option))}"))


def _sign(data: bytes, options: Sequence[str], keys: SigningKeys, *, scratch: Path, sandbox: Sandbox) -> bytes:
    """PKCS #7 as the kernel reads it: of the very bytes, without certificates or attributes, and so without a time."""
    source, target = scratch / "to-sign", scratch / "signed.p7"
    source.write_bytes(data)
    target.touch()
    sandbox.run(
        ["openssl", "smime", "-sign", "-binary", "-noattr", "-nocerts", "-md", "sha256", *options, "-outform", "der",
         "-signer", "/keys/db.crt", "-inkey", "/keys/db.key", "-in", "/job/data", "-out", "/job/signed"],
        mounts=[
            Mount(source, "/job/data"),
            Mount(target, "/job/signed", writable=True),
            Mount(keys.db_key, "/keys/db.key"),
            Mount(keys.db_certificate, "/keys/db.crt"),
        ],
        timeout=_SIGN_SECONDS,
    )  # fmt: skip
    source.unlink()
    signed = target.read_bytes()
    target.unlink()
    return signed
