# SPDX-License-Identifier: Apache-2.0
"""An extension of a host as a signed disk image: erofs, its dm-verity tree, and a signature of the root hash.

The form is that of systemd-sysext(8), for a confext too: a GPT with a data, a verity and a signature partition
(Discoverable Partitions Specification). The signature counts on a host that has its certificate in /usr/lib/verity.d,
or whose kernel has it, as it has the db key's. That an extension without one is refused is a matter of the image policy
(systemd.image-policy(7)) of whoever merges it.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from zaffre.definition import Kind
from zaffre.image.repart import ROOT_TYPES, make_image
from zaffre.sandbox import Mount, Sandbox


def extension_release(name: str, *, kind: Kind, distribution: str, version: str) -> tuple[str, str]:
    """Path and content of the file that ties an extension of /usr or of /etc to the hosts it was made for."""
    folder = "etc" if kind is Kind.CONFEXT else "usr/lib"
    path = f"{folder}/extension-release.d/extension-release.{name}"
    return path, f"ID={distribution}\nVERSION_ID={version}\n"


def write_sysext(
    target: Path,
    *,
    name: str,
    erofs: Path,
    architecture: str,
    key: Path,
    certificate: Path,
    scratch: Path,
    epoch: int,
    sandbox: Sandbox,
) -> None:
    """Write the image `target` from the erofs of the extension's `/usr`, signed by `key`; reproducible."""
    kind = ROOT_TYPES[architecture]
    parts = {
        "10-data.conf": f"[Partition]\nType={kind}\nCopyBlocks=/job/data.erofs\nVerity=data\nVerityMatchKey=root\n",
        "20-hash.conf": f"[Partition]\nType={kind}-verity\nVerity=hash\nVerityMatchKey=root\nMinimize=best\n",
        "30-signature.conf": f"[Partition]\nType={kind}-verity-sig\nVerity=signature\nVerityMatchKey=root\n",
    }
    make_image(
        target,
        parts,
        size="auto",
        seed=uuid.uuid5(uuid.NAMESPACE_OID, f"zaffre sysext {name}"),
        mounts=[
            Mount(erofs, "/job/data.erofs"),
            Mount(key, "/keys/signer.key"),
            Mount(certificate, "/keys/signer.crt"),
        ],
        arguments=["--private-key=/keys/signer.key", "--certificate=/keys/signer.crt"],
        scratch=scratch,
        epoch=epoch,
        sandbox=sandbox,
    )
