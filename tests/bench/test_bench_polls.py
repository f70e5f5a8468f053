# SPDX-License-Identifier: Apache-2.0
"""The bench's polls: what an agent asks for when there is nothing new, and how a round of them is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from measure import BenchError
from polls import Polls, poll_figures, poll_paths, read_round
from publisher import Publisher

_SAID = """\
starting benchmark...
finished in {took}, 12345.67 req/s, 5.00MB/s
requests: 30 total, 30 started, {done} done, 20 succeeded, 10 failed, {errored} errored, 0 timeout
status codes: 20 2xx, 0 3xx, 10 4xx, 0 5xx
1 (sh) S 0 1 1 0 -1 4194560 200 900 0 0 77 66 1 1 20 0 1 0 100 1 1
7 (nginx) S 1 7 7 0 -1 4194624 50 0 0 0 2 1 0 0 20 0 1 0 101 1 1
8 (nginx) S 7 7 7 0 -1 4194624 50 0 0 0 30 70 0 0 20 0 1 0 101 1 1
9 (h2load) S 1 7 7 0 -1 4194624 50 0 0 0 500 500 0 0 20 0 1 0 101 1 1
"""


def test_a_poll_reads_the_root_that_is_not_there_and_the_timestamp(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    (tmp_path / "state").mkdir()
    paths = poll_paths(tmp_path / "repo", publisher.root, tmp_path / "state")
    assert set(paths) == {"metadata/2.root.json", "metadata/timestamp.json"}


def test_a_round_is_read() -> None:
    assert read_round(_SAID.format(took="2.50s", done=30, errored=0), 30) == (2.5, 1.03)
    assert read_round(_SAID.format(took="812.5ms", done=30, errored=0), 30)[0] == 0.8125


@pytest.mark.parametrize(("done", "errored"), [(29, 0), (30, 1)])
def test_a_request_without_an_answer_is_no_result(done: int, errored: int) -> None:
    with pytest.raises(BenchError, match="not all of 30 requests were answered"):
        read_round(_SAID.format(took="2.50s", done=done, errored=errored), 30)


def test_the_figures_are_told() -> None:
    rate, cpu = poll_figures(Polls(requests=3, wall=[2.0, 4.0], cpu=[1.0, 2.0]), agents=10)
    assert rate.ours == (15.0, 7.5)
    assert cpu.value == 1.5
