# SPDX-License-Identifier: Apache-2.0
"""Debian archives: Release files, package indexes, apt as the solver. Others reach it through `upstream.family`."""

from zaffre.upstream.deb.bootstrap import bootstrap_resolve
from zaffre.upstream.deb.index import Candidate, Index, Indexes, Universe
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.deb.solve import Solver, resolve
from zaffre.upstream.deb.version import version_key

__all__ = [
    "Candidate",
    "Index",
    "Indexes",
    "Solver",
    "Universe",
    "bootstrap_resolve",
    "refresh",
    "resolve",
    "version_key",
]
