# SPDX-License-Identifier: Apache-2.0
"""What the kernel of a host with IPE has executed and what it has refused to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zaffre.machine.facts import Facts, properties
from zaffre.machine.judging import Expectations, line_of, some
from zaffre.machine.report import CheckLine

POLICY = "zaffre"
PLACES = ("/var/lib/zaffre-check/ipe", "/tmp/zaffre-check-ipe", "/run/zaffre-check-ipe")  # noqa: S108 - of the guest
"""Where the probes put what is to be refused."""
_WAYS = ("program", "loaded", "library")
"""Executed by its name; by the dynamic loader; loaded into a program of the host."""
_REPORTS = (("ipe.denials", 1), ("ipe.denials", 2), ("ipe.denials-before", 2))
"""The last is of the whole first boot, until the machine was off."""
_PROBED = _REPORTS[0], _REPORTS[2]
"""Those of the boot in which the probes asked for what is refused."""
_REFUSED = "ermission denied", "failed to map segment"
_CONTAINER = re.compile(r'path="/usr/bin/busybox" dev="overlay"')
"""The program of the container that is unpacked to /var: the kernel tells its path in the container."""
_FEW = 4


def ipe(facts: Facts, expected: Expectations) -> CheckLine:
    """In the mode of the definition, by the policy of the definition and no other, and nothing was refused but to those
    who asked for it. A permissive system tells what it would have refused.
    """
    modes = [properties(facts.get("ipe.mode", boot).text) for boot in (1, 2)]
    wanted = {"enforce": "1" if expected.ipe == "enforcing" else "0", POLICY: "1"}
    doubt = _doubt(facts)
    denials = sorted(set(denials_of(facts)))
    passed = modes == [wanted, wanted] and doubt is None and not denials
    mode = {"1": "enforcing", "0": "permissive"}.get(modes[0].get("enforce", ""), "off")
    if modes[0].get(POLICY) != "1":
        found = f"{mode}, without a policy"
    elif modes != [wanted, wanted]:
        found = f"{modes[0]} then {modes[1]}"
    elif denials:
        more = f" and {len(denials) - _FEW} more" if len(denials) > _FEW else ""
        found = f"{mode}; refused: {'; '.join(denials[:_FEW])}{more}"
    elif doubt is not None:
        found = f"{mode}; {doubt}"
    else:
        found = f"{mode}, nothing of its own refused"
    return line_of("ipe", "IPE", passed=passed, found=found, wanted=f"{expected.ipe}, nothing of its own refused")


def _doubt(facts: Facts) -> str | None:
    """Why "nothing refused" would not mean that there was nothing; None if it would."""
    if any(facts.get(*one).status != 0 for one in _REPORTS):
        return "nobody told what was refused"
    # What the probes are refused, or would be, must be among what is told.
    texts = [facts.get(*one).text for one in _PROBED]
    unseen = [place for place in PLACES if not all(f'path="{place}/' in text for text in texts)]
    return f"what was refused to the probes in {some(unseen)} is not in the log" if unseen else None


def ipe_refused(facts: Facts, _: Expectations) -> CheckLine:
    """Programs and libraries of places that can be written to are not executed; their likes of the host are."""
    ran = [f"{way} in {place}" for place in PLACES for way in _WAYS if not _refused(facts, way, place)]
    broken = [name for name in ("own", "extension") if facts.get(f"ipe.{name}").status != 0]
    pulled = facts.get("container.pulled")
    if not (pulled.status > 0 and _REFUSED[0] in pulled.text):
        ran.append("a container in /var")
    if broken:
        found = f"the host's {some(broken)} program does not run"
    else:
        found = f"not refused: {some(ran)}" if ran else "refused in /var, /tmp and /run, and to a container in /var"
    return line_of(
        "ipe-refused",
        "programs and libraries that nobody signed",
        passed=not ran and not broken,
        found=found,
        wanted="refused; the host's own and the extension's run",
    )


def ipe_locked(facts: Facts, _: Expectations) -> CheckLine:
    """Root cannot switch it off, nor load another policy."""
    tried = {"switched off": facts.get("ipe.switch-off"), "given another policy": facts.get("ipe.load")}
    done = [what for what, fact in tried.items() if not (fact.status > 0 and "not permitted" in fact.text)]
    return line_of(
        "ipe-locked",
        "IPE, against root",
        passed=not done,
        found=f"it can be {' and '.join(done)}" if done else "neither switched off nor given another policy",
        wanted="neither switched off nor given another policy",
    )


def denials_of(facts: Facts) -> Iterator[str]:
    """Lines of the log with what was refused, shortened, but for what the probes ask for."""
    for name, boot in _REPORTS:
        for line in facts.get(name, boot).text.splitlines():
            asked_for = any(f'path="{place}/' in line for place in PLACES) or _CONTAINER.search(line)
            if "ipe_op=" in line and not asked_for:
                yield line.partition("ipe_op=")[2].partition(" rule=")[0].strip()


def _refused(facts: Facts, way: str, place: str) -> bool:
    """A library that is refused is left out by the dynamic loader, which says so and goes on."""
    fact = facts.get(f"ipe.{way}{place}")
    return (fact.status > 0 or (way == "library" and fact.status == 0)) and any(word in fact.text for word in _REFUSED)
