# SPDX-License-Identifier: Apache-2.0
"""How exposed the services of a root are, as systemd-analyze(1) judges their unit files (`security --offline=true`).

Its JSON lacks the overall level; the line of its text that has it begins with an arrow and ends with the word for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from zaffre.errors import WorldError
from zaffre.sandbox import Mount, Sandbox
from zaffre.surface.report import UnitExposure

_TARGET = "/run/target"
_SECONDS = 300.0
_PLAIN = {"SYSTEMD_LOG_LEVEL": "err", "SYSTEMD_EMOJI": "0", "SYSTEMD_COLORS": "0"}
_OVERALL = re.compile(r"Overall exposure level for (?P<unit>\S+): (?P<level>[0-9]+(?:\.[0-9]+)?) (?P<word>[A-Z]+)")

_MASKED = re.compile(r"^Unit (\S+) is masked\.$", re.MULTILINE)


def exposures(root: Path, services: Sequence[str], sandbox: Sandbox) -> tuple[UnitExposure, ...]:
    """Of each service, from 0 (nothing) to 10, the worst first. Nothing of the root is run.

    A template without an instance can't be judged, and an instance of a masked one does not run: both are left out.
    Raises WorldError where a service has no answer.
    """
    names = [name for name in services if not name.endswith("@.service")]
    if not names:
        return ()
    done = sandbox.run(
        ["systemd-analyze", "security", "--offline=true", f"--root={_TARGET}", "--no-pager", *names],
        mounts=[Mount(root, _TARGET)],
        timeout=_SECONDS,
        env=_PLAIN,
        check=False,
    )
    found = [
        UnitExposure(unit=one["unit"], exposure=float(one["level"]), word=one["word"].lower())
        for one in _OVERALL.finditer(done.stdout.decode("utf-8", "replace"))
    ]
    lacking = set(names) - {one.unit for one in found} - set(_MASKED.findall(done.stderr_tail))
    if lacking:
        raise WorldError(
            f"systemd-analyze did not judge {', '.join(sorted(lacking))}",
            where="systemd-analyze security",
            details=done.stderr_tail.strip() or None,
        )
    return tuple(sorted(found, key=lambda one: (-one.exposure, one.unit)))
