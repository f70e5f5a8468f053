# SPDX-License-Identifier: Apache-2.0
"""What came of the update by which the host that is checked was brought there. Pure."""

from __future__ import annotations

import re

from zaffre.machine.facts import Facts
from zaffre.machine.judging import Expectations, Step, line_of
from zaffre.machine.report import CheckLine
from zaffre.slots import slot_label

HUNG = "emulation.hung"
"""The fact, told from outside, that a start was spoilt by the emulation."""


def updated(facts: Facts, expected: Expectations) -> CheckLine:
    """The version before wrote this one into its other slot, and is kept, as is what /var had; this one came up at its
    first try. That it was blessed, the line of health says.
    """
    step = expected.update or Step("", "", "")
    trouble = _trouble(facts, expected, step)
    return line_of(
        "updated",
        "the update to it",
        passed=trouble is None,
        found=f"from {step.before} to {step.after}, and the version before is kept" if trouble is None else trouble,
        wanted=f"{step.before} puts {step.after} into its other slot, and is kept; it comes up at its first try",
    )


def is_entry_of(name: str, version: str) -> bool:
    """Whether a file of the ESP is a version's kernel image, whatever is left of its tries."""
    return re.search(rf"_{re.escape(version)}(\+\d+(-\d+)?)?\.efi$", name) is not None


def _trouble(facts: Facts, expected: Expectations, step: Step) -> str | None:
    ran, kept = facts.get("update.version").text, facts.get("update.kept").text
    if facts.get("update.run", 0).status != 0:
        return ""
    if ran != step.after:
        return f"{ran or 'nobody knows what'} runs"
    if kept != expected.nonce or facts.get("machine-id", 0).text != facts.get("machine-id").text:
        return "/var or the machine's id was not kept"
    if not _kept(facts, step):
        return f"{step.before} is not kept"
    tries = _tries(facts)
    if tries == 0:
        return "nobody knows at which try it came up"
    return f"it came up at try {tries}" if tries > 1 else None


def _tries(facts: Facts) -> int:
    """How often it was started until it came up, by the name that its kernel image had then (systemd-boot(7),
    LoaderBootCountPath); but for a start that the emulation has spoilt. 0 if that is not known.
    """
    path = facts.get("update.entry").data.replace(b"\0", b"")
    found = re.search(rb"\+\d+-(\d+)\.efi$", path)
    spoilt = facts.get(HUNG).status == 0
    return max(1, int(found[1]) - spoilt) if found and int(found[1]) else 0


def _kept(facts: Facts, step: Step) -> bool:
    """Both versions are in slots, and the one before has an entry that is not on trial: without a count, or, where each
    boot is counted, with tries left.
    """
    # As udev writes names of links (systemd's encode_devnode_name): "~" and "^" of a version among them.
    text = re.sub(r"\\x([0-9a-f]{2})", lambda one: chr(int(one[1], 16)), facts.get("update.labels").text)
    labels = text.split()
    entry = re.compile(rf"_{re.escape(step.before)}(\+[1-9]\d*)?\.efi$")
    entries = facts.get("update.entries").text.split()
    whole = all(slot_label(step.image, version) in labels for version in (step.before, step.after))
    return whole and any(entry.search(name) for name in entries)
