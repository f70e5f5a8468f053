# SPDX-License-Identifier: Apache-2.0
"""What SELinux has refused in a host that was looked at, and to whom. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from zaffre.machine.facts import Fact, Facts
from zaffre.machine.judge_kubelet import pod_context
from zaffre.machine.judging import Expectations, line_of, some
from zaffre.machine.report import CheckLine
from zaffre.selinux import Context, Denial, read_denial

CONFINED = "system_u:system_r:container_t:s0:c11,c12"
"""The context of the container whose doing is to be refused."""
_OWN, _OTHERS = ("/own/nonce",), ("/other/nonce", "/host/etc/shadow", "/host/var/log/journal")
_CONFINED_AS = frozenset({Context("container_t", frozenset({11, 12}))})
_REPORTS = (("selinux.denials", 1), ("selinux.denials", 2), ("selinux.denials-before", 2), ("selinux.console", 1))
"""The third is of the whole first boot, as far as its journal is on a disk; the last is what the console has printed,
to where the machine stopped.
"""
_UPDATE = (("selinux.denials", 0), ("selinux.denials-before", 1))
"""Those of the version before, which wrote the one that is checked: up to its restart, and all of it."""
_WHOLE = _REPORTS[1:3]
"""Those in which a boot's beginning is, to which the policy belongs."""
_LOADED = re.compile(r"\btype=1403\b.*\blsm=selinux\b")
_ERROR = re.compile(r"\btype=1401\b|^SELINUX_ERR ")
"""A context that is not allowed, or a change to one: refused without a word of the access vector cache."""
_LOST = "lost: "
_PROBED = _REPORTS[0], _REPORTS[2]
"""Those of the boot in which the container asked for what it is refused."""
_MODES = {"1": "enforcing", "0": "permissive"}
_FEW = 4
# What the upstream's policy refuses nothing to, on a server.
_UNCONFINED = frozenset(
    f"{name}_t"
    for name in ("apt", "dpkg", "dpkg_script", "init", "initrc", "kernel", "ldconfig", "unconfined", "unconfined_mount")
)
# What a user has started, and the probes themselves.
_OTHERS_START = ("user@", "zaffre-check")


def selinux(facts: Facts, expected: Expectations) -> CheckLine:
    """In the mode of the definition, and nothing was denied but to the container that asks for it. A permissive system
    tells what it would have denied.
    """
    modes = [_MODES.get(facts.get("selinux.enforce", boot).text, "off") for boot in (1, 2)]
    mode = modes[0] if modes[0] == modes[1] else f"{modes[0]}, and {modes[1]} after a restart"
    asked = _asked(facts)
    denials = Counter(
        f"{denial} (to the version before)" if one in _UPDATE else denial
        for one in _reports(facts)
        for denial in denials_of(facts.get(*one).text, asked)
    )
    doubt = _doubt(facts)
    passed = mode == expected.selinux and doubt is None and not denials
    found = f"{mode}, no denials"
    if denials:
        more = f" and {len(denials) - _FEW} more" if len(denials) > _FEW else ""
        found = f"{mode}; denied: {'; '.join(sorted(denials)[:_FEW])}{more}"
    elif doubt is not None:
        found = f"{mode}; {doubt}"
    return line_of("selinux", "SELinux", passed=passed, found=found, wanted=f"{expected.selinux}, no denials")


def _doubt(facts: Facts) -> str | None:
    """Why "no denials" would not mean that there were none; None if it would."""
    reports = {one: facts.get(*one) for one in _reports(facts)}
    lost = [line for fact in reports.values() for line in fact.text.splitlines() if line.startswith(_LOST)]
    if any(fact.status != 0 for fact in reports.values()) or facts.get("console.level").status != 0:
        return "nobody told what was denied"
    if lost:
        return f"some of the log was {lost[0].strip()}"
    if not all(_LOADED.search(reports[one].text) for one in (*_WHOLE, *_UPDATE) if one in reports):
        return "the log does not even say that a policy was loaded"
    # What the container is refused must be among what is told.
    if facts.get("container.confined").status >= 0 and not all(_refused_to_probe(reports[one]) for one in _PROBED):
        return "what was refused to the container is not in the log"
    return None


def _refused_to_probe(report: Fact) -> bool:
    denials = (read_denial(line) for line in report.text.splitlines())
    return any(one is not None and one.by_kernel and one.source in _CONFINED_AS for one in denials)


def _reports(facts: Facts) -> tuple[tuple[str, int], ...]:
    """All that are to be looked at. A version before that had no SELinux has none."""
    return (*_REPORTS, *_UPDATE) if facts.get("selinux.enforce", 0).status == 0 else _REPORTS


def told_denials(facts: Facts) -> tuple[str, ...]:
    """Lines of the log with what was denied, each once, but for containers that ask for it."""
    lines = (line.strip() for one in _reports(facts) for line in facts.get(*one).text.splitlines())
    asked = _asked(facts)
    return tuple(dict.fromkeys(line for line in lines if _counts(line, asked)))


def _asked(facts: Facts) -> frozenset[Context]:
    """Contexts of the containers that ask to be refused."""
    context = pod_context(facts)
    return _CONFINED_AS if context is None else _CONFINED_AS | {context}


def denials_of(text: str, asked: frozenset[Context] = _CONFINED_AS) -> Iterator[str]:
    """Denials in lines of the kernel's log, as "who: what of whom (kind)" in types. What is denied to a container
    that asks for it is none.
    """
    for line in text.splitlines():
        if _counts(line, asked):
            denial = read_denial(line)
            yield line.strip() if denial is None else _short(denial)


def _counts(line: str, asked: frozenset[Context]) -> bool:
    denial = read_denial(line)
    if denial is None:
        return ("avc:" in line and "denied" in line) or _ERROR.search(line) is not None
    # A service's word has the command line of who asked in it, whatever is written there.
    return not (denial.by_kernel and denial.source in asked)


def _short(denial: Denial) -> str:
    what = " ".join(denial.permissions)
    return f"{denial.source.type}: {what} of {denial.target.type} ({denial.kind})"


def domains(facts: Facts, _: Expectations) -> CheckLine:
    """Each service of a server that runs has a domain of its own, in which something is refused to it. What a user has
    started is the user's.
    """
    told = facts.get("selinux.domains")
    found = dict(line.partition(" ")[::2] for line in told.text.splitlines() if not line.startswith(_OTHERS_START))
    services = {unit: context.split(":")[2] for unit, context in found.items() if context.count(":") > 2}
    free = sorted(f"{unit} ({name})" for unit, name in services.items() if name in _UNCONFINED)
    passed = told.status == 0 and bool(services) and len(services) == len(found) and not free
    well = f"{len(services)}, each in a domain of its own" if passed else "nobody told"
    wanted = "each in a domain of its own"
    return line_of("domains", "running services", passed=passed, found=some(free) if free else well, wanted=wanted)


def confined(facts: Facts, _: Expectations) -> CheckLine:
    """A container reads what has its own label, and of the host and of other containers nothing, though it is root, and
    the host could read it.
    """
    text = facts.get("container.confined").text
    label = next((line.partition(" ")[2] for line in text.splitlines() if line.startswith("label ")), "").strip("\0 ")
    statuses = dict(_statuses(text))
    open_to_it = [path for path in _OTHERS if statuses.get(path) == "0"]
    there = {line.partition(" ")[2] for line in text.splitlines() if line.startswith("there ")}
    nothing = [path for path in _OTHERS if path.startswith("/host/") and path not in there]
    kept = [path for path in _OWN if statuses.get(path) != "0"]
    unknown = [path for path in (*_OWN, *_OTHERS) if path not in statuses]
    passed = label == CONFINED and not open_to_it and not kept and not unknown and not nothing
    if unknown:
        found = " / ".join(text.splitlines()[-3:])
    elif label != CONFINED:
        found = f"it ran as {label or 'nobody knows what'}"
    elif nothing:
        found = f"the host itself has no {some(nothing)} to read"
    elif passed:
        found = f"refused, as {label.split(':', 2)[2]}"
    else:
        found = f"it read {some(open_to_it)}" if open_to_it else f"it could not read its own {some(kept)}"
    return line_of(
        "container-confined",
        "a container that reads the host's files, and another's",
        passed=passed,
        found=found,
        wanted="refused, though it is root; what is its own, it reads",
    )


def _statuses(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "status":
            yield words[2], words[1]
