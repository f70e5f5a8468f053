# SPDX-License-Identifier: Apache-2.0
"""From what a host says of its containers to verdicts. Pure."""

from __future__ import annotations

import tomllib

from zaffre.machine.facts import Facts, properties
from zaffre.machine.judging import Expectations, line_of, some
from zaffre.machine.report import CheckLine


def container(facts: Facts, expected: Expectations) -> CheckLine:
    run = facts.get("container.run")
    imported = facts.get("container.import").status == 0
    passed = (
        imported
        and run.status == 0
        and f"nonce {expected.nonce}" in run.text.splitlines()
        and "pid 1" in run.text.splitlines()
    )
    image = facts.get("container.source").text.rpartition(" ")[2]
    trouble = next(
        (facts.get(name).text for name in ("container.run", "container.import") if facts.get(name).status), ""
    )
    found = f"{image} ran under containerd and crun" if passed else _tail(trouble or run.text)
    return line_of(
        "container", "a container", passed=passed, found=found, wanted="runs, prints what it was given, ends"
    )


def container_network(facts: Facts, _: Expectations) -> CheckLine:
    lines = facts.get("container.run").text.splitlines()
    own = next((line.partition(" ")[2] for line in lines if line.startswith("network ")), "")
    interfaces = [line.partition(" ")[2] for line in lines if line.startswith("interface ")]
    host = facts.get("host.network-namespace").text
    passed = own.startswith("net:[") and host.startswith("net:[") and own != host and interfaces == ["lo"]
    found = f"its own, with {some(interfaces)}" if own != host else "the host's"
    return line_of(
        "container-network",
        "the container's network",
        passed=passed,
        found=found if own else "",
        wanted="a namespace of its own with nothing but lo",
    )


def cgroups(facts: Facts, _: Expectations) -> CheckLine:
    unit = properties(facts.get("container.unit").text)
    by_systemd = unit.get("ActiveState") == "active" and unit.get("ControlGroup", "").endswith("/zaffre-probe.scope")
    runtimes = _systemd_runtimes(facts.get("containerd.config").text)
    passed = by_systemd and bool(runtimes)
    found = f"systemd's ({some(runtimes)})" if passed else f"unit {some([*unit.values()])}; runtimes {some(runtimes)}"
    return line_of(
        "cgroups",
        "the container's control group",
        passed=passed,
        found=found,
        wanted="a scope of systemd's, and SystemdCgroup in containerd's configuration",
    )


def _systemd_runtimes(text: str) -> list[str]:
    """Names of the runtimes of Kubernetes' interface (CRI) whose control groups are systemd's."""
    try:
        plugins = tomllib.loads(text)["plugins"]
        cri = next(
            plugins[name] for name in plugins if name in {"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"}
        )
        runtimes = cri["containerd"]["runtimes"]
        return [name for name, runtime in runtimes.items() if runtime.get("options", {}).get("SystemdCgroup") is True]
    except (tomllib.TOMLDecodeError, KeyError, StopIteration, AttributeError, TypeError):
        return []


def _tail(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines()[-3:])
