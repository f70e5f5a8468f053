# SPDX-License-Identifier: Apache-2.0
"""What is asked for, and with what it is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zaffre.customiser.changes import ChangesFile
from zaffre.image import SigningKeys
from zaffre.image.output import ManifestSigner
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store


@dataclass(frozen=True)
class Order:
    """`out` is the directory that appears when all is done. `epoch` is SOURCE_DATE_EPOCH; None: the image's own."""

    file: ChangesFile
    out: Path
    epoch: int | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Bench:
    """`keys` sign what the firmware starts: without them, what is to be signed elsewhere is written down."""

    store: Store
    sandbox: Sandbox
    progress: Progress
    keys: SigningKeys | None
    signer: ManifestSigner | None
