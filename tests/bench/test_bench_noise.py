# SPDX-License-Identifier: Apache-2.0
"""What others do is told apart from what we measure."""

import pytest
from noise import Noise, busy_seconds

STAT = """\
cpu  100 20 30 4000 500 6 7 8 90 10
cpu0 100 20 30 4000 500 6 7 8 90 10
intr 12345
"""


def test_idle_time_and_the_time_of_guests_are_not_busy_time():
    # user, nice, system, (idle, iowait), irq, softirq, steal; guest times are in user and nice already
    assert busy_seconds(STAT, 100) == pytest.approx(1.71)


def test_our_own_work_is_not_noise(monkeypatch):
    ours = iter([1.0, 3.0])
    busy = iter([10.0, 12.0])
    clock = iter([0.0, 2.0])
    monkeypatch.setattr("noise._own_seconds", lambda: next(ours))
    monkeypatch.setattr("noise.busy_seconds", lambda *_: next(busy))
    monkeypatch.setattr("noise.time.monotonic", lambda: next(clock))
    assert Noise().share() == 0.0


def test_what_others_used_is_a_share_of_all_processors(monkeypatch):
    ours = iter([1.0, 2.0])
    busy = iter([10.0, 13.0])
    clock = iter([0.0, 2.0])
    monkeypatch.setattr("noise._own_seconds", lambda: next(ours))
    monkeypatch.setattr("noise.busy_seconds", lambda *_: next(busy))
    monkeypatch.setattr("noise.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("noise.os.cpu_count", lambda: 2)
    assert Noise().share() == pytest.approx(0.5)
