# SPDX-License-Identifier: Apache-2.0
"""A stock Debian to compare with: what Debian's own installer would install, solved by apt from the same archive.

That is the system of the installer's defaults: all packages of the priorities required, important and standard
(policy 2.5), a kernel, a boot loader, what they recommend, and on it the task that is asked for. It is solved from the
release's own suite, as the installer's medium has it: what pockets mend comes after the installation.
"""

from __future__ import annotations

import re
from dataclasses import replace

from zaffre.advisory.subject import Subject, SubjectKind, require_packages
from zaffre.advisory.subjects.locked import installed
from zaffre.advisory.subjects.platforms import platform_of
from zaffre.definition import DebUpstream
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.deb.solve import resolve
from zaffre.upstream.solving import SetRequest

_PRIORITY = re.compile(rb"^Priority: (?:required|important|standard)$", re.MULTILINE)
_BOOT = ("linux-image-{arch}", "grub-efi-{arch}")
_TASKS = {"server": ("openssh-server",), "container-host": ("openssh-server", "containerd")}
SERVER, CONTAINER_HOST = "server", "container-host"


def stock_subject(
    upstream: DebUpstream, indexes: Indexes, architecture: str, task: str, *, sandbox: Sandbox, store: Store
) -> Subject:
    """`task` is SERVER (with SSH), or CONTAINER_HOST (with containerd too). Raises what solving raises."""
    release = upstream.suites[0]
    alone = replace(
        indexes,
        suites=tuple(one for one in indexes.suites if one.suite == release.suite),
        indexes=tuple(one for one in indexes.indexes if one.suite.suite == release.suite),
    )
    names = {
        name
        for index in alone.universe(architecture).indexes
        for name, blocks in index.stanzas.items()
        if any(_PRIORITY.search(block) for block in blocks)
    }
    names |= {name.format(arch=architecture) for name in (*_BOOT, *_TASKS[task])}
    request = SetRequest(f"stock {task}", tuple(sorted(names)), architecture, recommends=True)
    packages = resolve(request, alone, sandbox, store=store)
    made = next(one.date for one in alone.suites)
    title = f"stock {upstream.ecosystem or upstream.name} {task}, as {release.suite} of {made:%Y-%m-%d} installs it"
    return Subject(
        kind=SubjectKind.LOCK,
        title=title,
        platform=platform_of(upstream),
        architecture=architecture,
        packages=require_packages([installed(one, upstream.family) for one in packages], title),
    )
