# SPDX-License-Identifier: Apache-2.0
"""Whether a host that is to be in FIPS mode is, in its kernel and in OpenSSL. Pure."""

from __future__ import annotations

from zaffre.machine.facts import Facts
from zaffre.machine.judging import Expectations, line_of, some
from zaffre.machine.report import CheckLine

_PROVIDERS = ["base", "fips"]


def fips(facts: Facts, _: Expectations) -> CheckLine:
    """The kernel says so, OpenSSL has the provider and no other with algorithms, refuses MD5 and computes SHA-256."""
    faults = []
    if facts.get("fips.enabled").text != "1":
        faults.append("the kernel is not in FIPS mode")
    providers = _providers(facts.get("fips.providers").text)
    if sorted(providers) != _PROVIDERS or "inactive" in providers.values():
        told = [f"{name} ({status})" for name, status in sorted(providers.items())]
        faults.append(f"OpenSSL's providers are {some(told)}")
    refused, computed = facts.get("fips.md5"), facts.get("fips.sha256")
    if not (refused.status > 0 and "unsupported" in refused.text):
        faults.append("MD5 is not refused")
    if computed.status != 0:
        faults.append("SHA-256 is not computed")
    return line_of(
        "fips",
        "FIPS mode",
        passed=not faults,
        found="; ".join(faults) or "in the kernel and in OpenSSL, which refuses MD5",
        wanted="in the kernel and in OpenSSL, with no provider but fips and base",
    )


def _providers(text: str) -> dict[str, str]:
    """openssl-list(1), -providers: a name, indented by two, and below it its version and status."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            name = line.strip()
            found[name] = "inactive"
        elif line.strip() == "status: active":
            found[name] = "active"
    return found
