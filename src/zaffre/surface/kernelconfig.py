# SPDX-License-Identifier: Apache-2.0
"""Where the configuration that a kernel was built with is found."""

from __future__ import annotations

from pathlib import Path

from zaffre.tree.rootfs import inside

MOST_BYTES = 4 << 20


def config_names(version: str) -> tuple[str, ...]:
    """Where packages of both families have it; relative to the root."""
    return (f"boot/config-{version}", f"usr/lib/modules/{version}/config", f"lib/modules/{version}/config")


def config_in(root: Path, version: str) -> Path | None:
    """The file, if the root has it."""
    found = (inside(root, name) for name in config_names(version))
    return next((path for path in found if path.is_file() and path.stat().st_size <= MOST_BYTES), None)
