# SPDX-License-Identifier: Apache-2.0
"""A distribution and a store for the whole of this folder, which one worker runs: what is built is built once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.own import make_own
from support.program import Place
from support.trouble import disk, unmet

__all__ = ["disk", "unmet"]

HERE = Path(__file__).parent
FIRST = "test_e2e_interrupted"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker, and first those that want nothing built: their last build serves all others."""
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(HERE)]
    ordered = sorted((items[place] for place in places), key=lambda item: item.path.stem != FIRST)
    for place, item in zip(places, ordered, strict=True):
        item.add_marker(pytest.mark.xdist_group("e2e"))
        item.add_marker(pytest.mark.tools)
        items[place] = item


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """See `support.own`. Its builds go on from what earlier tests have built."""
    try:
        return make_own(tmp_path_factory.mktemp("own"))
    except AssertionError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no archive and no tools tree here: {error}")
