# SPDX-License-Identifier: Apache-2.0
"""A host is compared with itself, permissive and without a policy; only containers that ran as they were to count."""

import subprocess
from pathlib import Path

import pytest
from boots import BootFacts
from confining import CONTAINERS, HOSTS, Confined, confining_figures, container_seconds, containers_script
from lab import IMAGE, copy_definition
from measure import BenchError

from zaffre.definition import load_distribution

LABEL = "system_u:system_r:container_t:s0:c11,c12"


def told(*seconds: int, said: str) -> str:
    return "unpacking\n" + "".join(f"took {number}500000000 {said}\n" for number in seconds)


def test_the_hosts_differ_by_the_policy_alone(tmp_path: Path) -> None:
    copy_definition(tmp_path / "definition")
    distribution = load_distribution(tmp_path / "definition")
    hosts = [distribution.image(name) for name in HOSTS]
    assert hosts[0].name == IMAGE
    assert [one.selinux.mode for one in hosts] == ["enforcing", "permissive", "off"]
    own = {"name", "description", "extends", "profiles", "selinux"}
    assert all(one.model_dump(exclude=own) == hosts[0].model_dump(exclude=own) for one in hosts)
    assert [distribution.image(extension).base for extension in HOSTS.values()] == list(HOSTS)


def test_the_script_is_one_that_a_shell_can_read() -> None:
    for extension in HOSTS.values():
        subprocess.run(["sh", "-n"], input=f"x=$({{ {containers_script(extension)}; }} | cat)".encode(), check=True)


def test_the_first_container_is_not_counted() -> None:
    seconds = range(CONTAINERS, 0, -1)
    assert container_seconds(told(*seconds, said=f"ran {LABEL}"), labelled=True) == tuple(s + 0.5 for s in seconds[1:])
    assert len(container_seconds(told(*seconds, said="ran unconfined"), labelled=False)) == CONTAINERS - 1


@pytest.mark.parametrize(
    ("said", "labelled"), [("ran system_u:system_r:dockerd_t:s0", True), (LABEL, True), ("ctr: no", False), ("", False)]
)
def test_a_container_that_did_not_run_as_it_was_to_is_an_error(said: str, *, labelled: bool) -> None:
    with pytest.raises(BenchError, match="not all"):
        container_seconds(told(*range(CONTAINERS), said=said), labelled=labelled)
    with pytest.raises(BenchError, match="not all"):
        container_seconds(told(*range(CONTAINERS - 1), said=f"ran {LABEL}"), labelled=True)


def test_a_slower_boot_misses_its_limit() -> None:
    found = Confined(sizes=dict.fromkeys(HOSTS, 1))
    for name, slower in zip(HOSTS, (1.04, 1.0, 0.9), strict=True):
        found.boots[name] = [(BootFacts(10.0 * slower, 1, "running"), BootFacts(10.0 * slower**2, 1, "running"))] * 2
        found.containers[name] = [slower, slower]
    assert [figure.held for figure in confining_figures(found)] == [True, False, True, *[None] * 5]
