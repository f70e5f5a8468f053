# SPDX-License-Identifier: Apache-2.0
"""An upstream, its mirrors, and what a user reads when they fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from zaffre.definition import DebUpstream
from zaffre.errors import ZaffreError
from zaffre.store import Store
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.download import Limits
from zaffre.upstream.mirrors import Mirrors, find_mirrors

QUICK = Limits(connect=1.0, silence=0.5, window=0.3, least_bytes_per_second=4096, attempts=3, backoff=0.01)


def said(error: ZaffreError) -> str:
    """All that a user gets to read, in the order in which it is printed; `pytest -s` shows it."""
    text = "\n".join(filter(None, [str(error), error.details, f"-> {error.resolution}" if error.resolution else None]))
    sys.stdout.write(f"\n{type(error).__name__} (exit {error.exit_code}): {text}\n")
    return text


def make_upstream(folder: Path, certificates: bytes, **suite: object) -> DebUpstream:
    path = folder / "keyring.asc"
    path.write_bytes(certificates)
    return DebUpstream.model_validate(
        {
            "name": "test",
            "family": "deb",
            "keyring": "keyring.asc",
            "keyring_file": path,
            "architectures": ["amd64", "arm64"],
            "suites": [{"archive": "debian", "suite": "stable", "components": ["main"], **suite}],
        }
    )


def mirrors(*urls: str, folder: Path = Path("/nonexistent")) -> Mirrors:
    """Only these; neither the environment nor the host counts."""
    return find_mirrors({"debian": "debian"}, explicit=urls, environ={}, config_home=folder, apt=folder)


def no_signatures(store: Store) -> Acceptance:
    """What is required of the packages of a Debian archive: only their digests."""
    return Acceptance([make_upstream(store.root, b"")], store, now=datetime.now(UTC))


Refresh = Callable[..., Indexes]
