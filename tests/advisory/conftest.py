# SPDX-License-Identifier: Apache-2.0
"""The reference definition, by which what is scanned is known."""

from __future__ import annotations

import pytest

from zaffre.definition import Distribution, load_distribution, reference_root


@pytest.fixture(scope="module")
def distribution() -> Distribution:
    return load_distribution(reference_root())
