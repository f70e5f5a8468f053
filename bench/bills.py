# SPDX-License-Identifier: Apache-2.0
"""Bills of materials of 10,000 packages with two files each, made here: the time that each form takes to be written."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from figures import Figure, Limit, Unit
from noise import Noise, wait_for_calm

from zaffre.bill import DEB_PURLS, Bill, BillFile, BillLicence, BillPackage, BillSuite, BillSystem
from zaffre.trust.sbom import cyclonedx_text, spdx_text

PACKAGES = 10_000
ROUNDS = 5
_WRITERS = {"CycloneDX": cyclonedx_text, "SPDX": spdx_text}


@dataclass
class Written:
    """Seconds by form, and what else used the machine."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {form: [] for form in _WRITERS})
    others: list[float] = field(default_factory=list)


def large_bill(packages: int) -> Bill:
    """Three packages of each source, as a distribution has them."""
    licence = BillLicence(
        "GPL-2.0-or-later AND LGPL-2.1-or-later AND LicenseRef-Debian-x", (("LicenseRef-Debian-x", "x"),)
    )
    names = [f"package-{number:05}" for number in range(packages)]
    return Bill(
        image="large",
        kind="server",
        version="1.20260504.1",
        architecture="amd64",
        profile="dev",
        epoch=1_777_000_000,
        purls=DEB_PURLS,
        distribution=BillSystem("zaffre", "1", "Zaffre Linux"),
        system=BillSystem("debian", "13", "Debian GNU/Linux"),
        upstream="debian",
        definition=_digest("definition"),
        lock=_digest("lock"),
        tools=_digest("tools"),
        packages=tuple(
            BillPackage(
                name=name,
                version=f"1:{number}.2-3+b1",
                architecture="amd64",
                source=f"source-{number // 3:05}",
                source_version=f"1:{number}.2-3",
                sha256=_digest(name),
                size=1 << 20,
                archive="debian",
                suite="trixie",
                built=False,
                licence=licence,
            )
            for number, name in enumerate(names)
        ),
        suites=(BillSuite("debian", "trixie", _digest("Release"), "2026-05-04T03:02:01Z"),),
        files=tuple(
            BillFile(f"/usr/lib/{name}/{number}", _digest(name), _digest(name)[:40], 1, (name, "amd64"))
            for name in names
            for number in range(2)
        ),
    )


def measure_bills(*, say: Callable[[str], None]) -> Written:
    whole, found = large_bill(PACKAGES), Written()
    wait_for_calm()
    for _ in range(ROUNDS):
        for form, write in _WRITERS.items():
            noise = Noise()
            begun = time.monotonic()
            write(whole)
            found.seconds[form].append(time.monotonic() - begun)
            found.others.append(noise.share())
    for form, seconds in found.seconds.items():
        say(f"{form} of {PACKAGES:,} packages: {', '.join(f'{one:.2f}' for one in seconds)} s")
    return found


def bill_figures(found: Written) -> list[Figure]:
    """The lines of the table that are about bills of materials."""
    return [
        Figure(
            f"{form} of {PACKAGES:,} packages written", Unit.SECONDS, tuple(seconds), limit=Limit(value=1, strict=True)
        )
        for form, seconds in found.seconds.items()
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
