# SPDX-License-Identifier: Apache-2.0
"""The process that builds for `zaffre reproduce`: how it ends when nobody waits for it any more."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

import pytest

from zaffre.definition import reference_root
from zaffre.digest import EMPTY
from zaffre.image import Order, SigningKeys
from zaffre.image.reproduce import Recipe, reproduce
from zaffre.progress import SILENT
from zaffre.sandbox import ToolsTree
from zaffre.store import Store
from zaffre.trust.papers import PaperWriter
from zaffre.trust.signer import FileSigner
from zaffre.upstream import Lock, LockedSet


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the host's name for a build")
def test_an_interrupt_ends_the_build_at_once(tmp_path: Path) -> None:
    certificate = tmp_path / "db.crt"
    os.mkfifo(certificate)  # who reads it waits for ever
    nowhere = tmp_path / "nowhere"
    locked = LockedSet(name="check", architecture="amd64", upstream="debian", request=EMPTY, packages=())
    recipe = Recipe(
        distribution=reference_root(),
        lock=Lock(distribution="zaffre", created=datetime(2026, 1, 1, tzinfo=UTC), serial=1, suites=(), sets=(locked,)),
        order=Order(image="check", architecture="amd64", profile="dev", out=nowhere),
        keys=SigningKeys(nowhere, certificate, nowhere, nowhere),
        signer=FileSigner(nowhere),
        papers=PaperWriter(FileSigner(nowhere), ""),
        tools=ToolsTree(nowhere, "tools"),
        packages=Store(tmp_path / "store").root,
    )
    timer = Timer(3.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            reproduce(recipe, progress=SILENT)
    finally:
        timer.cancel()
    assert multiprocessing.active_children() == []
    assert list((tmp_path / "store").glob("zaffre-reproduce-*")) == []
