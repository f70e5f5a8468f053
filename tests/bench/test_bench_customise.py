# SPDX-License-Identifier: Apache-2.0
"""One file customised is held against a full build of the same round."""

from customise import Customisations, customising_figures
from measure import Cost


def test_each_round_has_its_pair():
    found = Customisations(
        built=[Cost(20.0, 22.0, 1, 1, 0.1), Cost(10.0, 11.0, 1, 1, 0.0)],
        customised=[Cost(8.0, 6.0, 1, 1, 0.2), Cost(6.0, 5.0, 1, 1, 0.0)],
    )
    wall, cpu = customising_figures(found)
    assert (wall.value, wall.other, wall.ratio) == (7.0, 15.0, 0.5)
    assert wall.held is True
    assert cpu.held is None
    assert found.others == [0.1, 0.0, 0.2, 0.0]
