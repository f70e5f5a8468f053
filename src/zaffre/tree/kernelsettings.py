# SPDX-License-Identifier: Apache-2.0
"""What a root file tree says to its kernel: sysctl settings, and the versions that it has modules of."""

from __future__ import annotations

from pathlib import Path

from zaffre.tree.rootfs import inside, read_text

# In the order of their precedence (sysctl.d(5)): a file hides those of the same name in later folders.
_FOLDERS = ("etc/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d")
_MODULES = "usr/lib/modules"


def kernel_settings(root: Path) -> dict[str, str]:
    """What systemd-sysctl(8) sets at boot, by name, in the form with dots.

    Files are read in the order of their names, whatever folder they are in, and the last word counts. A name may be a
    pattern, which is kept as it is; a line that only excludes names from patterns ("-name" alone) is left out.
    """
    chosen: dict[str, str] = {}
    for folder in _FOLDERS:
        place = inside(root, folder)
        for path in sorted(place.glob("*.conf")) if place.is_dir() else ():
            chosen.setdefault(path.name, f"{folder}/{path.name}")
    found: dict[str, str] = {}
    for name in sorted(chosen):
        for line in read_text(root, chosen[name]).splitlines():
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith(("#", ";")):
                dotted = _dotted(key.strip().removeprefix("-"))
                found.pop(dotted, None)
                found[dotted] = value.strip()
    return dict(sorted(found.items()))


def kernel_versions(root: Path) -> tuple[str, ...]:
    folder = inside(root, _MODULES)
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir())) if folder.is_dir() else ()


def _dotted(name: str) -> str:
    """Where the first separator is a slash, a dot is part of a name, as in net/ipv4/conf/eth0.1/forwarding."""
    separators = [character for character in name if character in "./"]
    return name.translate(str.maketrans("./", "/.")) if separators[:1] == ["/"] else name
