# SPDX-License-Identifier: Apache-2.0
"""The simulation that is measured is one of a fleet with a bad release, over thirty days."""

from __future__ import annotations

import json
import subprocess

import fleet as bench


def test_the_measured_simulation() -> None:
    done = subprocess.run([*bench.command(nodes=200), "--json"], capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found["nodes"] == 200
    assert found["days"] == 30
    assert found["failed"] > 0
