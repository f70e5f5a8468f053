# SPDX-License-Identifier: Apache-2.0
"""The repository that is measured is one that libsolv reads, and every package of it can be installed."""

from pathlib import Path

from metadata import index_of, loaded_from, make_repodata

from zaffre.store import Store
from zaffre.upstream.rpm.index import RpmIndexes
from zaffre.upstream.solving import SetRequest


def test_the_made_repository_is_read_and_solved(tmp_path: Path):
    make_repodata(tmp_path / "repodata", 300)
    store = Store(tmp_path / "store")
    loaded = loaded_from(RpmIndexes("bench", (index_of(tmp_path / "repodata", store),)), store)
    everything = tuple(f"package-{number:05}" for number in range(300))
    assert len(loaded.solver.solve(SetRequest("all", everything, "amd64")).packages) == 300


def test_it_is_the_same_each_time(tmp_path: Path):
    for name in ("one", "two"):
        make_repodata(tmp_path / name, 50)
    assert (tmp_path / "one/primary.xml.gz").read_bytes() == (tmp_path / "two/primary.xml.gz").read_bytes()
