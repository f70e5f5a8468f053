# SPDX-License-Identifier: Apache-2.0
"""Build hook: a wheel carries the reference distribution, which `zaffre init` copies from.

It is packed as a tar, since a wheel holds neither links nor empty directories. An editable install reads
`distro/` itself and needs nothing.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TemplateHook(BuildHookInterface):  # type: ignore[type-arg]  # generic in newer versions only
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        packed = Path(self.directory) / "template.tar"
        packed.parent.mkdir(parents=True, exist_ok=True)
        distro = Path(self.root) / "distro"
        with tarfile.open(packed, "w") as tar:
            for path in sorted(distro.rglob("*")):
                tar.add(path, str(path.relative_to(distro)), recursive=False, filter=_plain)
        build_data["force_include"][str(packed)] = "zaffre/definition/template.tar"


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same bytes whoever builds it, and when."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
