# SPDX-License-Identifier: Apache-2.0
"""What is said of a host that is to be in FIPS mode."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machine_facts import EXPECTED, Report, facts, sound

from zaffre.machine.judge import judge
from zaffre.machine.report import CheckLine, Verdict

PROVIDERS = """\
Providers:
  base
    name: OpenSSL Base Provider
    version: 3.5.9
    status: active
  fips
    name: OpenSSL FIPS Provider
    version: 3.5.9
    status: active
"""
UNSUPPORTED = b"error:0308010C:digital envelope routines:inner_evp_generic_fetch:unsupported"


def line(**spoilt: Report) -> CheckLine:
    reports = {
        **sound(),
        (1, "fips.enabled"): (0, b"1"),
        (1, "fips.providers"): (0, PROVIDERS.encode()),
        (1, "fips.md5"): (1, UNSUPPORTED),
        (1, "fips.sha256"): (0, b"SHA2-256(/dev/null)= e3b0c442"),
        **{(1, f"fips.{name}"): report for name, report in spoilt.items()},
    }
    return {one.name: one for one in judge(facts(reports), replace(EXPECTED, fips=True))}["fips"]


def test_a_host_in_fips_mode_passes_and_another_is_not_asked() -> None:
    assert (line().verdict, line().found) == (Verdict.PASSED, "in the kernel and in OpenSSL, which refuses MD5")
    assert "fips" not in {one.name for one in judge(facts(sound()), EXPECTED)}


@pytest.mark.parametrize(
    ("name", "report", "says"),
    [
        ("enabled", (0, b"0"), "the kernel is not"),
        ("providers", (0, PROVIDERS.replace("  fips\n", "  default\n").encode()), "default (active)"),
        ("providers", (0, PROVIDERS.rpartition("    status")[0].encode()), "fips (inactive)"),
        ("providers", (127, b"not found"), "providers are none"),
        ("md5", (0, b"MD5(/dev/null)= d41d8cd9"), "MD5 is not refused"),
        ("md5", (127, b"openssl: not found"), "MD5 is not refused"),
        ("sha256", (1, UNSUPPORTED), "SHA-256 is not computed"),
    ],
)
def test_what_does_not_hold_is_told(name: str, report: Report, says: str) -> None:
    found = line(**{name: report})
    assert found.verdict is Verdict.FAILED
    assert says in found.found
