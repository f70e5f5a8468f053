# SPDX-License-Identifier: Apache-2.0
"""Debian archives: mirrors, Release files, package indexes, apt as the solver, downloads."""

from zaffre.upstream.deb.bootstrap import bootstrap_resolve
from zaffre.upstream.deb.download import Limits
from zaffre.upstream.deb.fetch import DroppedError, fetch, missing
from zaffre.upstream.deb.index import Candidate, Index, Indexes, Universe
from zaffre.upstream.deb.keyring import Keyring
from zaffre.upstream.deb.mirrors import Mirrors, Source, find_mirrors, shown_url
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.deb.solve import SetRequest, Solution, Solver, resolve
from zaffre.upstream.deb.version import version_key

__all__ = [
    "Candidate",
    "DroppedError",
    "Index",
    "Indexes",
    "Keyring",
    "Limits",
    "Mirrors",
    "SetRequest",
    "Solution",
    "Solver",
    "Source",
    "Universe",
    "bootstrap_resolve",
    "fetch",
    "find_mirrors",
    "missing",
    "refresh",
    "resolve",
    "shown_url",
    "version_key",
]
