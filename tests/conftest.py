# SPDX-License-Identifier: Apache-2.0
"""What tests of every package share. What is missing skips a test on a laptop and fails it in CI."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from zaffre.cli.context import FREE_VARIABLE
from zaffre.cli.making import Making
from zaffre.sandbox import Sandbox

sys.path.insert(0, str(Path(__file__).parent))

from support.lab import Lab, prepare
from support.rpm_lab import prepare_rpm

_LAB = frozenset({"lab", "rpm_lab", "tools_sandbox"})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take many minutes, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """The longest test begins, and has the lab made; meanwhile the other worker does what needs none."""
    group = item.get_closest_marker("xdist_group")
    if group is not None:
        return 0 if group.args == ("boot-server",) else 2
    needed = item.fixturenames if isinstance(item, pytest.Function) else ()
    return 3 if _LAB.intersection(needed) else 1


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument: an archive's hold the clock; all workers have to collect the same names."""
    return argname if isinstance(val, bytes) else None


def pytest_configure() -> None:
    """What the process that runs the tests is given, and hands on to what it starts."""
    # A shell that starts a suite in the background has it ignore Ctrl-C, and all that it starts too (POSIX, 2.11).
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Where a disk is short, a store gives up what was used least recently: here, what one test has made for another.
    os.environ.setdefault(FREE_VARIABLE, "2G")


# What takes long on a busy machine is no finding of a property test.
settings.register_profile("zaffre", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zaffre")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The reference distribution, locked afresh from the archive; shared by all workers of the session."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "lab"
    try:
        return prepare(root)
    except pytest.fail.Exception as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no archive and no tools tree here: {error}")


@pytest.fixture(scope="session")
def rpm_lab(lab: Lab) -> Lab:
    """The same with a twin of the host made of RPM packages, from a distribution that is made of the lab's own."""
    return prepare_rpm(lab, lab.root.with_name("rpm-lab"))


@pytest.fixture(scope="session")
def tools_sandbox(lab: Lab) -> Iterator[Sandbox]:
    """A sandbox with the lab's locked tools."""
    with lab.workspace() as work:
        yield Making(work).sandbox
