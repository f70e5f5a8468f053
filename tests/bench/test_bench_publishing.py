# SPDX-License-Identifier: Apache-2.0
"""What is measured is what it is called: all packages, then those that have changed."""

from pathlib import Path

import pytest
from publishing import Publishings, Shop, publishing_figures

from zaffre.sandbox import Sandbox


@pytest.mark.tools
def test_all_are_published_and_then_those_that_have_changed(tmp_path: Path, tools_sandbox: Sandbox):
    shop = Shop(tmp_path, tools_sandbox, 60)
    first, _ = shop.publish(0)
    second, _ = shop.publish(5)
    assert (first.pool_files, first.kept_files) == (60, 0)
    assert (second.pool_files, second.kept_files) == (5, 55)
    found = Publishings([2.0], [first.bytes], [1.0], [second.bytes], [0.0])
    written, took = publishing_figures(found)
    assert written.ratio is not None
    assert written.ratio < 0.15
    assert took.ratio == 0.5
