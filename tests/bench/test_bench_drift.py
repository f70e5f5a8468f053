# SPDX-License-Identifier: Apache-2.0
"""The distribution that drift is measured on is one: valid, of the size asked for, and without a deviation."""

from __future__ import annotations

from pathlib import Path

import drift as bench

from zaffre.definition import load_distribution


def test_the_generated_distribution(tmp_path: Path) -> None:
    distribution = load_distribution(bench.generate(tmp_path / "distro", 25))
    assert len(distribution.components) == 25
    assert all(one.inherited for one in distribution.components.values())
    assert distribution.images
