# SPDX-License-Identifier: Apache-2.0
"""The model of `[surface]`: how much of an image may face an attacker."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zaffre.definition.values import Model

Most = Annotated[int, Field(ge=0)]


class Surface(Model):
    """A budget: what `zaffre surface` counts may not be more. What is not named has no limit."""

    packages: Most | None = None
    """Installed packages."""
    setuid: Most | None = None
    """Files with the setuid or the setgid bit."""
    capabilities: Most | None = None
    """Files that have capabilities."""
    listening: Most | None = None
    """Socket units that are on at boot."""
    services: Most | None = None
    """Services that are on at boot."""
    shells: Most | None = None
    """Programs that read commands: bash, dash, busybox and their like."""
    interpreters: Most | None = None
    """Programs that run scripts: python, perl, awk and their like."""
    compilers: Most | None = None
    """Compilers, assemblers and linkers."""
    world_writable: Most | None = None
    """Files that everybody may write, and such folders without the sticky bit."""
    unowned: Most | None = None
    """Files of no package and of no tree of the definition that nothing is known to make."""
    unhardened: Most | None = None
    """Programs and libraries that lack something: position independence, a read-only relocation table, a stack that
    does not execute."""
    unsafe_units: Most | None = None
    """Services at boot that systemd-analyze(1) calls UNSAFE or DANGEROUS."""
    kernel: Most | None = None
    """What the kernel lacks of what is recommended: how it was built, its command line, its settings."""
