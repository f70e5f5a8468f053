# SPDX-License-Identifier: Apache-2.0
"""A restart into a newer version is timed from order to blessed boot, and only of a machine that came to it."""

import subprocess
import time
from collections.abc import Iterator

import pytest
from measure import BenchError
from switching import Switches, restarts, script, switching_figures

from zaffre.machine import Ended, Event, Message

VERSIONS = ["1", "2"]


def events(*said: tuple[str, str], pause: float = 0.0) -> Iterator[Event]:
    for event, version in said:
        time.sleep(pause if (event, version) == ("blessed", "2") else 0.0)
        yield Message({"event": event, "version": version})


def test_it_is_timed_from_the_order_to_the_blessing() -> None:
    told = [("blessed", "1"), ("order", "1"), ("blessed", "1"), ("order", "1"), ("blessed", "2")]
    plain, switched = restarts(events(*told, pause=0.2), VERSIONS)
    assert plain < 0.2 <= switched


@pytest.mark.parametrize(
    "told",
    [
        [("blessed", "1"), ("order", "1"), ("blessed", "2")],
        [("blessed", "1"), ("order", "1"), ("blessed", "1"), ("order", "1"), ("blessed", "1")],
        [("blessed", "1"), ("failed", "no")],
        [("blessed", "1")],
    ],
)
def test_a_machine_that_does_not_come_to_it_is_an_error(told: list[tuple[str, str]]) -> None:
    with pytest.raises(BenchError):
        restarts(events(*told), VERSIONS)


def test_a_machine_that_ends_is_an_error() -> None:
    with pytest.raises(BenchError, match="ended"):
        restarts(iter([Ended(returncode=1, error="gone")]), VERSIONS)


def test_the_script_is_one_that_a_shell_can_read() -> None:
    subprocess.run(["sh", "-n"], input=script().encode(), check=True)


def test_a_slower_restart_misses_its_limit() -> None:
    assert [one.held for one in switching_figures(Switches(plain=[40.0], switched=[45.0]))] == [True]
    assert [one.held for one in switching_figures(Switches(plain=[40.0], switched=[47.0]))] == [False]
