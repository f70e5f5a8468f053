# SPDX-License-Identifier: Apache-2.0
"""The bill that writing is measured on is one, in both forms, and the limit is one second."""

from __future__ import annotations

import pytest
from bills import Written, bill_figures, large_bill

from support.bills import faults
from zaffre.trust.sbom import cyclonedx_text, spdx_text


def test_it_is_a_bill() -> None:
    whole = large_bill(30)
    assert faults(cyclonedx_text(whole), "cyclonedx") == []
    assert faults(spdx_text(whole), "spdx") == []


@pytest.mark.parametrize(("seconds", "held"), [(0.9, True), (1.0, False)])
def test_a_second_is_the_limit(seconds: float, held: bool) -> None:  # noqa: FBT001
    found = Written()
    for each in found.seconds.values():
        each.append(seconds)
    assert [one.held for one in bill_figures(found)] == [held, held]
