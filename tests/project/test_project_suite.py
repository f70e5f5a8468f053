# SPDX-License-Identifier: Apache-2.0
"""The suite itself: what tests share is made once."""

import pytest


@pytest.mark.xdist_group("together")
def test_groups_stay_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist knows a group by the end of a test's name. Torn apart, each worker would make what they share."""
    if not request.config.getoption("loadgroup", default=False):
        pytest.skip("not run by several workers")
    assert request.node.nodeid.endswith("@together")
