# SPDX-License-Identifier: Apache-2.0
"""One binary package becomes two without a rebuild: files move bit for bit, with owner, mode and time.

Works on unpacked packages: a directory of the files with the control files in `DEBIAN/` (dpkg-deb(1),
`--raw-extract`). The half that keeps the name keeps the maintainer scripts, so a file that they speak of cannot
leave; conffiles and checksums go where their file goes.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import DefinitionError
from zaffre.tree.deb.package import CONTROL, write_control
from zaffre.tree.globs import matcher
from zaffre.tree.rootfs import is_plain, walk
from zaffre.upstream.deb.control import parse_stanza, source_of

_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
_INHERITED = ("Architecture", "Maintainer", "Section", "Priority", "Homepage", "Multi-Arch")
_LIBRARY = re.compile(r"usr/lib/(?:[^/]+-linux-gnu[^/]*/)?lib[^/]+\.so\.[^/]+\Z")


@dataclass(frozen=True)
class NewHalf:
    """What is split off: the files that match `paths` (globs relative to /), as a package of that name.

    Without `depends` it depends on what the whole depends on.
    """

    name: str
    paths: tuple[str, ...]
    description: str
    depends: tuple[str, ...] = ()


def read_control(folder: Path) -> dict[str, str]:
    return parse_stanza((folder / CONTROL / "control").read_text(encoding="utf-8"))


def split(folder: Path, other: Path, half: NewHalf, *, where: str) -> None:
    """Move what `half` wants from the package in `folder` to a new one in `other`, an absent directory.

    Raises DefinitionError when a pattern matches nothing, when everything would go, or when scripts speak of it.
    """
    fields = read_control(folder)
    name = fields["Package"]
    entries = [(path, status) for path, status in walk(folder) if not _is_control(path)]
    files = [path for path, status in entries if not stat.S_ISDIR(status.st_mode)]
    wanted = matcher(half.paths)
    moving = [path for path in files if wanted(path)]
    unmatched = [one for one in half.paths if not any(matcher([one])(path) for path in files)]
    if unmatched:
        raise DefinitionError(
            f"the package '{name}' has no file that matches {', '.join(unmatched)}",
            where=where,
            details="\n".join(files[:40]),
            resolution="mend the pattern: each one must match a file",
        )
    staying = [path for path in files if path not in set(moving)]
    if not any(not path.startswith("usr/share/doc/") for path in staying):
        raise DefinitionError(
            f"nothing would be left in the package '{name}'", where=where, resolution="split off less, or drop it"
        )
    _refuse_spoken_of(folder, name, moving, where=where)
    times = {path: (status.st_atime_ns, status.st_mtime_ns) for path, status in entries if stat.S_ISDIR(status.st_mode)}
    top = folder.lstat()
    other.mkdir()
    _like(other, top)
    (other / CONTROL).mkdir(mode=0o755)
    for path in moving:
        _make_parents(folder, other, path)
        (folder / path).rename(other / path)
    _copy_copyright(folder, other, name, half.name)
    for path in sorted(times, key=len, reverse=True):
        if not any((folder / path).iterdir()) and any(one.startswith(f"{path}/") for one in moving):
            (folder / path).rmdir()
    for path, found in sorted(times.items(), key=lambda one: len(one[0]), reverse=True):
        for base in (folder, other):
            if (base / path).is_dir():
                os.utime(base / path, ns=found)
    for base in (folder, other):
        os.utime(base, ns=(top.st_atime_ns, top.st_mtime_ns))
    gone = set(moving)
    _divide(folder, other, "conffiles", lambda line: line.split()[-1].lstrip("/") in gone)
    _divide(folder, other, "md5sums", lambda line: line.partition("  ")[2] in gone)
    _divide_triggers(folder, other, moving)
    write_control(other, _new_fields(fields, half))
    write_control(folder, fields)


def _is_control(path: str) -> bool:
    return path == CONTROL or path.startswith(f"{CONTROL}/")


def _refuse_spoken_of(folder: Path, name: str, moving: Sequence[str], *, where: str) -> None:
    """Scripts stay with the name: one that starts a unit or calls a file of the other half would fail there."""
    for script in _SCRIPTS:
        path = folder / CONTROL / script
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        spoken = [one for one in moving if f"/{one}" in text or (_is_unit(one) and Path(one).name in text)]
        if spoken:
            raise DefinitionError(
                f"the {script} of '{name}' speaks of /{spoken[0]}, which cannot leave the package",
                where=where,
                resolution="leave that file where it is; maintainer scripts stay with the package's name",
            )


def _is_unit(path: str) -> bool:
    return "/systemd/" in path and not path.endswith(".conf")


def _make_parents(folder: Path, other: Path, path: str) -> None:
    missing = [parent for parent in Path(path).parents if parent != Path() and not (other / parent).exists()]
    for parent in reversed(missing):
        (other / parent).mkdir()
        _like(other / parent, (folder / parent).lstat())


def _like(place: Path, status: os.stat_result) -> None:
    os.chown(place, status.st_uid, status.st_gid)
    place.chmod(stat.S_IMODE(status.st_mode))


def _copy_copyright(folder: Path, other: Path, old: str, new: str) -> None:
    """Every package says whose it is (policy 12.5); the time is that of the original."""
    source = folder / "usr/share/doc" / old / "copyright"
    target = other / "usr/share/doc" / new / "copyright"
    taken = os.path.lexists(target) or target.parent.is_symlink() or target.parent.is_file()
    if taken or not is_plain(folder, f"usr/share/doc/{old}/copyright"):
        return
    _make_parents(folder, other, f"usr/share/doc/{old}/copyright")
    if (other / "usr/share/doc" / old).is_dir() and not any((other / "usr/share/doc" / old).iterdir()):
        (other / "usr/share/doc" / old).rmdir()
    target.parent.mkdir(exist_ok=True)
    _like(target.parent, source.parent.lstat())
    shutil.copy2(source, target)
    digest = _md5_line(folder, f"usr/share/doc/{old}/copyright")
    if digest:
        _write_lines(other / CONTROL / "md5sums", [f"{digest}  usr/share/doc/{new}/copyright"])


def _md5_line(folder: Path, path: str) -> str | None:
    sums = folder / CONTROL / "md5sums"
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []
    return next((line.partition("  ")[0] for line in lines if line.partition("  ")[2] == path), None)


def _divide(folder: Path, other: Path, name: str, goes: Callable[[str], bool]) -> None:
    """Lines of a control file go with their files; a half without lines has no such file."""
    path = folder / CONTROL / name
    if not path.is_file():
        return
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    _write_lines(path, [line for line in lines if not goes(line)])
    target = other / CONTROL / name
    present = target.read_text(encoding="utf-8").splitlines() if target.is_file() else []
    _write_lines(target, sorted([*present, *(line for line in lines if goes(line))], key=_path_of))


def _path_of(line: str) -> str:
    return line.rsplit(maxsplit=1)[-1]


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    if lines:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        path.chmod(0o644)
    else:
        path.unlink(missing_ok=True)


def _divide_triggers(folder: Path, other: Path, moving: Sequence[str]) -> None:
    """Interests stay with the scripts that serve them; what a library activates, it activates from either half."""
    path = folder / CONTROL / "triggers"
    if not path.is_file() or not any(_LIBRARY.match(one) for one in moving):
        return
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("activate")]
    _write_lines(other / CONTROL / "triggers", lines)


def _new_fields(fields: Mapping[str, str], half: NewHalf) -> dict[str, str]:
    """Of the same source and version; it takes its files over from older versions of the whole (policy 7.6.1)."""
    source, source_version = source_of(fields)
    told = {"Package": half.name, "Source": source, "Version": fields["Version"]}
    if source_version != fields["Version"]:
        told["Source"] = f"{source} ({source_version})"
    told |= {name: fields[name] for name in _INHERITED if name in fields}
    depends = ", ".join(half.depends) or fields.get("Depends", "")
    if depends:
        told["Depends"] = depends
    whole = f"{fields['Package']} (<< {fields['Version']})"
    return told | {"Breaks": whole, "Replaces": whole, "Description": half.description}
