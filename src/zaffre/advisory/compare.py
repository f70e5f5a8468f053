# SPDX-License-Identifier: Apache-2.0
"""Two reports side by side: ours, and that of a stock system from the same archive. Pure."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from zaffre.advisory.report import Bucket, Report, vulnerabilities

_KERNELS = {"linux", "kernel"}


class Row(BaseModel):
    """A number of ours beside the peer's. `ratio` is ours to theirs; none where theirs is zero."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    ours: int
    peer: int
    ratio: float | None


class Comparison(BaseModel):
    """Both reports, and what is counted in them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    peer_title: str
    rows: tuple[Row, ...]
    ours: Report
    peer: Report


def compare(ours: Report, peer: Report) -> Comparison:
    """What is counted of both. A kernel has so many vulnerabilities that it hides all else: it is counted apart too."""
    rows = [
        _row("packages", ours.packages, peer.packages),
        _row("open, with a fix", _open(ours, Bucket.FIX_AVAILABLE), _open(peer, Bucket.FIX_AVAILABLE)),
        _row(
            "open, with a fix, outside the kernel",
            _open(ours, Bucket.FIX_AVAILABLE, kernel=False),
            _open(peer, Bucket.FIX_AVAILABLE, kernel=False),
        ),
        _row("open, waiting", _open(ours, Bucket.WAITING), _open(peer, Bucket.WAITING)),
        _row("known of the packages, open or mended", _known(ours), _known(peer)),
        _row("known of them outside the kernel", _known(ours, kernel=False), _known(peer, kernel=False)),
    ]
    return Comparison(peer_title=peer.subjects[0].title, rows=tuple(rows), ours=ours, peer=peer)


def _row(title: str, ours: int, peer: int) -> Row:
    return Row(title=title, ours=ours, peer=peer, ratio=round(ours / peer, 3) if peer else None)


def _open(report: Report, bucket: Bucket, *, kernel: bool = True) -> int:
    return vulnerabilities([one for one in report.of(bucket) if kernel or one.source not in _KERNELS])


def _known(report: Report, *, kernel: bool = True) -> int:
    opened = {one.vulnerability for one in report.findings if kernel or one.source not in _KERNELS}
    mended = {name for source, names in report.fixed.items() if kernel or source not in _KERNELS for name in names}
    return len(opened | mended)
