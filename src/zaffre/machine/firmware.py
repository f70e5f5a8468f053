# SPDX-License-Identifier: Apache-2.0
"""The firmware's variables with Secure Boot on and the owner's keys in PK, KEK and db: nobody else's, no vendor's.

Made by virt-fw-vars (python3-virt-firmware) from the empty store that comes with OVMF; equal inputs give
equal bytes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import sha256_bytes
from zaffre.errors import DefinitionError
from zaffre.machine.architecture import Architecture
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Action, ActionResult, Store

_OWNER = uuid.uuid5(uuid.NAMESPACE_OID, "zaffre owner")
"""SignatureOwner of the entries (UEFI specification, 32.4.1): who enrolled them. It carries no trust."""

_SECONDS = 60.0


@dataclass(frozen=True)
class OwnerCertificates:
    """PEM files: the platform key, the key exchange key and the one that signs what boots."""

    pk: Path
    kek: Path
    db: Path


def enrolled_variables(
    certificates: OwnerCertificates, architecture: Architecture, *, store: Store, sandbox: Sandbox
) -> Path:
    """A file in the store, to be copied for each machine. Raises DefinitionError for a missing certificate."""
    contents = {name: _read(path) for name, path in _named(certificates)}
    action = Action(
        kind="firmware-variables",
        label=f"firmware variables {architecture.name}",
        inputs={
            "template": architecture.variables,
            "tools": sandbox.tools.key,
            **{name: sha256_bytes(content) for name, content in contents.items()},
        },
        reason="Secure Boot with the owner's keys",
    )

    def produce(scratch: Path) -> ActionResult:
        for name, content in contents.items():
            (scratch / f"{name}.pem").write_bytes(content)
        owner = str(_OWNER)
        sandbox.run(
            [
                *("virt-fw-vars", "--input", architecture.variables, "--output", "/run/keys/variables.fd"),
                *("--set-pk", owner, "/run/keys/pk.pem"),
                *("--add-kek", owner, "/run/keys/kek.pem"),
                *("--add-db", owner, "/run/keys/db.pem"),
                "--sb",
            ],
            mounts=[Mount(scratch, "/run/keys", writable=True)],
            timeout=_SECONDS,
        )
        return ActionResult({"variables": store.add_file(scratch / "variables.fd", move=True)}, {})

    return store.path(store.perform(action, produce).result.outputs["variables"])


def _named(certificates: OwnerCertificates) -> tuple[tuple[str, Path], ...]:
    return ("pk", certificates.pk), ("kek", certificates.kek), ("db", certificates.db)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DefinitionError(
            f"the certificate cannot be read: {error.strerror}",
            where=str(path),
            resolution="`zaffre keys init` makes the owner's keys",
        ) from error
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise DefinitionError("the file is no certificate in PEM form", where=str(path))
    return content
