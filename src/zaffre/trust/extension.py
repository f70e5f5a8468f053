# SPDX-License-Identifier: Apache-2.0
"""The seal of a system extension: file system, hash tree, and the root hash signed by the verity key, or by the db key
for a host whose kernel has to know the signer (IPE).

Source of the layout: the UAPI group's Discoverable Partitions Specification. The signature partition holds
JSON with `rootHash` and `signature` (base64 of a detached PKCS #7 over the hash's hexadecimal text); the
UUIDs of the data and hash partitions are the first and last 128 bits of the root hash.
"""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from pathlib import Path
from uuid import UUID

from zaffre.errors import IntegrityError
from zaffre.sandbox import Completed
from zaffre.trust.gpt import Partition, read_partitions
from zaffre.trust.inspector import DB_CERTIFICATE, SCRATCH, VERITY_CERTIFICATE, Inspector, Verdict, last_words

SIGNATURE_TYPES = frozenset(
    {
        UUID("41092b05-9fc8-4523-994f-2def0408b176"),  # root, x86-64
        UUID("6db69de6-29f4-4758-a7a5-962190f00ce3"),  # root, arm64
        UUID("e7bb33fb-06cf-4e81-8273-e543b413e2e2"),  # usr, x86-64
        UUID("c23ce4ff-44bd-4b00-b2d4-b41b3419e02a"),  # usr, arm64
    }
)

_SIGNERS = {"verity": VERITY_CERTIFICATE, "db": DB_CERTIFICATE}
_MAX_SIGNATURE_PARTITION = 1024 * 1024
_CHUNK = 4 * 1024 * 1024


def partition_uuids(root_hash: str) -> tuple[UUID, UUID]:
    """The UUIDs of the data and the hash partition that belong to a root hash of 256 bits."""
    return UUID(root_hash[:32]), UUID(root_hash[-32:])


def require_root_hash(text: str | None) -> str:
    """`text` if it is 64 lower-case hexadecimal digits, else IntegrityError."""
    if text is None or len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise IntegrityError(f"not a root hash of 256 bits: {text}")
    return text


def check_seal(image: Path, inspector: Inspector) -> Verdict:
    """Whether the extension in `image` is signed by the verity key and whole. Raises IntegrityError if malformed."""
    partitions = read_partitions(image)
    signatures = [partition for partition in partitions if partition.type in SIGNATURE_TYPES]
    if len(signatures) != 1:
        return Verdict(ok=False, detail=f"it holds {len(signatures)} signature partitions, not one")
    root_hash, pkcs7 = _read_signature(image, signatures[0])
    by_uuid = {partition.uuid: partition for partition in partitions}
    data, tree = (by_uuid.get(identity) for identity in partition_uuids(root_hash))
    if data is None or tree is None:
        return Verdict(ok=False, detail=f"it holds no data and hash partition for root hash {root_hash[:16]}...")
    with tempfile.TemporaryDirectory(prefix="zaffre-verify-") as folder:
        scratch = Path(folder)
        _extract(image, data, scratch / "data")
        _extract(image, tree, scratch / "tree")
        (scratch / "hash").write_text(root_hash)
        (scratch / "signature").write_bytes(pkcs7)
        asked = {name: _signed_by(certificate, inspector, scratch) for name, certificate in _SIGNERS.items()}
        signer = next((name for name, done in asked.items() if done.returncode == 0), None)
        if signer is None:
            why = last_words(asked["verity"])
            return Verdict(ok=False, detail=f"its root hash is not signed by the verity key or the db key: {why}")
        holds = inspector.hash_tree(f"{SCRATCH}/data", f"{SCRATCH}/tree", root_hash, scratch=scratch)
    if not holds.ok:
        return holds
    return Verdict(ok=True, detail=f"root hash {root_hash[:16]}... is signed by the {signer} key; {holds.detail}")


def _signed_by(certificate: str, inspector: Inspector, scratch: Path) -> Completed:
    """The signer is looked for in that certificate only, never in the signature, as systemd and the kernel do it."""
    return inspector.ask(
        ["openssl", "smime", "-verify", "-binary", "-inform", "DER", "-in", f"{SCRATCH}/signature",
         "-content", f"{SCRATCH}/hash", "-certfile", certificate, "-nointern", "-noverify", "-out", "/dev/null"],
        scratch=scratch,
    )  # fmt: skip


def _extract(image: Path, partition: Partition, target: Path) -> None:
    with image.open("rb") as source, target.open("wb") as sink:
        source.seek(partition.offset)
        left = partition.size
        while left and (chunk := source.read(min(_CHUNK, left))):
            sink.write(chunk)
            left -= len(chunk)


def _read_signature(image: Path, partition: Partition) -> tuple[str, bytes]:
    with image.open("rb") as file:
        file.seek(partition.offset)
        text = file.read(min(partition.size, _MAX_SIGNATURE_PARTITION)).rstrip(b"\0")
    try:
        value = json.loads(text)
        return require_root_hash(value["rootHash"]), base64.b64decode(value["signature"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise IntegrityError("the signature partition is not sound", where=str(image), details=str(error)) from error
