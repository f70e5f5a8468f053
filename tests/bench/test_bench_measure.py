# SPDX-License-Identifier: Apache-2.0
"""What a program costs includes all that it starts, whoever waits for that in the end."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"

BURN = "import time; end = time.process_time() + 0.4\nwhile time.process_time() < end: pass"


def measured(tmp_path: Path, *argv: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
    """In a process of its own: measuring makes the caller the reaper of all orphans."""
    program = (
        "import sys, json; from pathlib import Path; from measure import measure, BenchError\n"
        "try:\n"
        "    cost = measure(sys.argv[3:], log=Path(sys.argv[1]), timeout=float(sys.argv[2]))\n"
        "except BenchError as error:\n"
        "    print(error); sys.exit(3)\n"
        "print(cost.wall, cost.cpu, cost.process_bytes)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "log"), str(timeout), *argv],
        env={"PYTHONPATH": str(BENCH), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_cpu_time_and_memory_of_children(tmp_path):
    grown = f"x = bytearray(150 << 20); {BURN}"
    done = measured(
        tmp_path, sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grown!r}])"
    )
    wall, cpu, memory = (float(word) for word in done.stdout.split())
    assert 0.4 <= cpu <= wall * 2 + 0.5
    assert memory >= 150 << 20


def test_an_orphan_is_waited_for_and_counted(tmp_path):
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN!r}], start_new_session=True)"
    done = measured(tmp_path, sys.executable, "-c", orphan)
    wall, cpu, _ = (float(word) for word in done.stdout.split())
    assert cpu >= 0.4
    assert wall >= 0.4


def test_a_failure_is_told_with_the_end_of_the_log(tmp_path):
    done = measured(tmp_path, "sh", "-c", "echo what went wrong; exit 7")
    assert done.returncode == 3
    assert "sh failed (exit 7)" in done.stdout
    assert "what went wrong" in done.stdout


@pytest.mark.parametrize("inner", ["sleep 60", "sleep 60 & sleep 60", "setsid sleep 60 & exit 0"])
def test_nothing_outlives_the_time_limit(tmp_path, inner):
    done = measured(tmp_path, "sh", "-c", inner, timeout=1.0)
    assert done.returncode == 3
    assert "took longer than 1 s" in done.stdout
