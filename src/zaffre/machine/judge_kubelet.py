# SPDX-License-Identifier: Apache-2.0
"""What became of a pod that the kubelet of a host was given, without a cluster. Pure."""

from __future__ import annotations

import re

from zaffre.machine.facts import Facts, properties
from zaffre.machine.judging import Expectations, line_of, some
from zaffre.machine.report import CheckLine
from zaffre.selinux import Context

_OWN, _HOSTS = "/own", ("/host/etc/shadow", "/host/var/log/journal")
_LABEL = re.compile(r"system_u:system_r:container_t:s0:c(\d+),c(\d+)")


def pod(facts: Facts, expected: Expectations) -> CheckLine:
    """It runs, writes what is its own, and ends with its description. Where a policy is enforced, it has the domain of
    containers and two categories, and reads nothing of the host, though it is root and the host could.
    """
    told, unit = facts.get("kubelet.pod"), properties(facts.get("kubelet.unit").text)
    lines = told.text.splitlines()
    said = [*lines, *facts.get("kubelet.log").text.splitlines()]
    statuses = {words[2]: words[1] for words in map(str.split, lines) if len(words) == 3 and words[0] == "status"}
    confined, rest = expected.selinux == "enforcing", facts.get("kubelet.rest")
    there = {line.partition(" ")[2] for line in lines if line.startswith("there ")}
    read = [path for path in _HOSTS if statuses.get(path) == "0"]
    untold = [path for path in _HOSTS if path not in statuses]
    problems = {
        " / ".join(said[-4:]) or "nothing was reported": told.status != 0 or "ready" not in lines,
        f"kubelet is {unit.get('ActiveState') or 'unknown'}": unit.get("ActiveState") != "active",
        "it could not write what is its own": statuses.get(_OWN) != "0",
        f"it ran as {_label(facts) or 'nobody knows what'}": confined and pod_context(facts) is None,
        f"it read {some(read)}": confined and bool(read),
        f"it did not tell of {some(untold)}": confined and bool(untold),
        f"kubelet was started again {unit.get('NRestarts')} times": unit.get("NRestarts") != "0",
        "the host itself has nothing for it to read": confined and there != set(_HOSTS),
        "it did not end with its description": rest.status != 0 or bool(rest.text),
    }
    found = next((what for what, holds in problems.items() if holds), "")
    label = _label(facts).removeprefix("system_u:system_r:")
    well = f"runs, as {label}; the host's files are refused to it" if confined else "runs"
    wanted = "runs and ends" + (", and the host's files are refused to it" if confined else "")
    return line_of("pod", "a pod of the kubelet", passed=not found, found=found or well, wanted=wanted)


def pod_context(facts: Facts) -> Context | None:
    """The context of the pod, if it is one of a container with categories of its own."""
    match = _LABEL.fullmatch(_label(facts))
    return Context("container_t", frozenset(int(one) for one in match.groups())) if match else None


def _label(facts: Facts) -> str:
    lines = facts.get("kubelet.pod").text.splitlines()
    return next((line.partition(" ")[2].strip("\0 ") for line in lines if line.startswith("label ")), "")
