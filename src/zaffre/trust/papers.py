# SPDX-License-Identifier: Apache-2.0
"""The papers of a build: its bill of materials in both forms, and the signed statement of how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zaffre.bill import CYCLONEDX_NAME, PROVENANCE_NAME, SPDX_NAME, Bill, BillArtifact
from zaffre.digest import sha256_bytes, source_digest
from zaffre.trust.provenance import envelope, statement
from zaffre.trust.sbom import cyclonedx_text, spdx_text
from zaffre.trust.signer import Signer


@dataclass(frozen=True)
class PaperWriter:
    """Writes them, signed by the release key, whose fingerprint is `key`. Equal bills give equal bytes."""

    signer: Signer
    key: str

    @property
    def code(self) -> str:
        return source_digest("trust")

    def inside(self, bill: Bill) -> str:
        """CycloneDX, which an image carries: without files, as it is one itself."""
        return cyclonedx_text(bill)

    def write(self, folder: Path, bill: Bill) -> tuple[str, ...]:
        """Write them into the folder of a build, whose artifacts the bill has; returns their names."""
        papers = []
        for name, text in ((CYCLONEDX_NAME, cyclonedx_text(bill)), (SPDX_NAME, spdx_text(bill))):
            data = text.encode()
            (folder / name).write_bytes(data)
            papers.append(BillArtifact(name, sha256_bytes(data), len(data)))
        said = statement(bill, tuple(papers))
        (folder / PROVENANCE_NAME).write_bytes(envelope(said, self.signer, key=self.key))
        return (*(one.name for one in papers), PROVENANCE_NAME)
