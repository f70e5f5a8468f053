# SPDX-License-Identifier: Apache-2.0
"""From the facts of a host with an extension laid over it to verdicts about the extension. Pure."""

from __future__ import annotations

import json

from zaffre.machine.facts import Facts
from zaffre.machine.judging import Expectations, Laid, line_of, noted, some
from zaffre.machine.report import CheckLine

_HIERARCHIES = {"sysext": ("/usr", "/opt"), "confext": ("/etc",)}


def extension(facts: Facts, expected: Expectations) -> CheckLine:
    """Whether the host's systemd, which takes what is signed by the owner and made for this system, has taken it."""
    one = _laid(expected)
    over = [_over(facts.get("extension.merged", boot).text, one.name) for boot in (1, 2)]
    taken = all(facts.get("extension.merge", boot).status == 0 for boot in (1, 2))
    passed = taken and all(over) and set(over[0] + over[1]) <= set(_HIERARCHIES[one.kind])
    said = facts.get("extension.merge").text.splitlines()
    found = f"laid over {some(over[0])}, in both boots" if passed else " / ".join(said[-2:]) or f"over {some(over[0])}"
    return line_of(
        "extension", f"the extension '{one.name}'", passed=passed, found=found, wanted="signed, fits, and laid over"
    )


def the_agent(facts: Facts, _: Expectations) -> CheckLine:
    """Whether its interpreter comes up in this host and has all that the agent imports."""
    ran = [facts.get("agent.runs", boot) for boot in (1, 2)]
    passed = all(one.status == 0 and one.text.startswith("usage: zaffre-agent") for one in ran)
    found = "says how it is used" if passed else next((one.text for one in ran if one.status), "")
    return line_of("agent", "the agent", passed=passed, found=found[-200:], wanted="runs in this host")


def laid_over(_: Facts, expected: Expectations) -> CheckLine:
    return noted("host", "the host below", _laid(expected).host)


def _laid(expected: Expectations) -> Laid:
    if expected.checked is None:
        message = "no extension is checked"
        raise ValueError(message)
    return expected.checked


def _over(text: str, name: str) -> list[str]:
    """The hierarchies over which that extension lies, by what `systemd-sysext --json=short status` says."""
    try:
        return [
            str(one["hierarchy"])
            for one in json.loads(text)
            if isinstance(one["extensions"], list) and name in one["extensions"]
        ]
    except (ValueError, TypeError, KeyError):
        return []
