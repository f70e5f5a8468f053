# SPDX-License-Identifier: Apache-2.0
"""What was found in a running container image, judged line by line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zaffre.machine.crun import User
from zaffre.machine.judging import line_of, noted, some
from zaffre.machine.report import CheckLine

_SHELLS = frozenset({"sh", "ash", "bash", "busybox", "dash", "ksh", "mksh", "zsh"})
_MANAGERS = frozenset({"apt", "apt-get", "dnf", "dpkg"})
_BERLIN = "+0200"  # in July 2024


@dataclass(frozen=True)
class Promises:
    """What the definition says. `user` is as the definition has it; `packages` are those of the manifest."""

    bare: bool
    user: str | None
    packages: frozenset[str]
    channel: str | None


@dataclass(frozen=True)
class Found:
    """`static`, `dynamic` and `shell` are what these programs said, `update` what apt did, if it was asked.

    `facts` are the static program's answers by name.
    """

    digest: str
    user: User
    facts: Mapping[str, str]
    static: str
    libc: bool
    dynamic: str
    shell: str
    programs: tuple[str, ...]
    packages: frozenset[str]
    update: str | None


def judged_container(found: Found, promises: Promises) -> tuple[CheckLine, ...]:
    lines = (_layout, _static, _user, _shell, _libc, _certificates, _zones, _records, _apt, _release, _programs)
    return tuple(line for judge in lines if (line := judge(found, promises)) is not None)


Judge = Callable[[Found, Promises], CheckLine | None]


def _layout(found: Found, _: Promises) -> CheckLine:
    return line_of(
        "layout", "digests, from the index to the layer", passed=True, found=found.digest[:23], wanted="they hold"
    )


def _static(found: Found, _: Promises) -> CheckLine:
    passed = "uid" in found.facts
    return line_of(
        "static",
        "a static program",
        passed=passed,
        found="runs" if passed else found.static[-200:],
        wanted="it runs",
    )


def _user(found: Found, promises: Promises) -> CheckLine:
    runs_as = f"{found.facts.get('uid', '?')}:{found.facts.get('gid', '?')}"
    wanted = f"{found.user.uid}:{found.user.gid}"
    name = f" ({found.user.name})" if found.user.name else ""
    passed = runs_as == wanted and "passwd" not in found.facts if promises.user else runs_as == wanted
    home = ", its home can be written to" if "home" in found.facts else ""
    return line_of("user", "runs as", passed=passed, found=f"{runs_as}{name}{home}", wanted=wanted + name)


def _shell(found: Found, promises: Promises) -> CheckLine:
    if not promises.bare:
        return line_of(
            "shell", "a shell", passed=found.shell == "answers", found=found.shell or "none", wanted="answers"
        )
    there = [path for path in found.programs if path.rpartition("/")[2] in _SHELLS | _MANAGERS]
    passed = not there and not found.shell
    return line_of(
        "no-shell",
        "shell and package manager",
        passed=passed,
        found=some(there) if there or passed else found.shell,
        wanted="none",
    )


def _libc(found: Found, promises: Promises) -> CheckLine:
    if "libc6" not in promises.packages:
        return line_of("no-libc", "libc", passed=not found.libc, found="there" if found.libc else "none", wanted="none")
    passed = f":{found.user.uid}:" in found.dynamic
    return line_of(
        "libc",
        "a program that is linked to libc",
        passed=passed,
        found="runs, and finds its user" if passed else found.dynamic[-200:],
        wanted="it runs, and finds its user",
    )


def _certificates(found: Found, promises: Promises) -> CheckLine | None:
    if "ca-certificates" not in promises.packages:
        return None
    count = found.facts.get("certificates", "")
    passed = count.isdecimal() and int(count) > 0
    return line_of(
        "certificates",
        "certificates of authorities",
        passed=passed,
        found=f"{count} can be read" if passed else "none",
        wanted="they can be read",
    )


def _zones(found: Found, promises: Promises) -> CheckLine | None:
    if "tzdata" not in promises.packages:
        return None
    offset = found.facts.get("zone", "")
    return line_of(
        "time-zones", "time zones", passed=offset == _BERLIN, found=f"Berlin is at {offset or '?'}", wanted=_BERLIN
    )


def _records(found: Found, promises: Promises) -> CheckLine:
    other = sorted(found.packages ^ promises.packages)
    return line_of(
        "records",
        "records of packages, for scanners",
        passed=not other,
        found=f"all {len(found.packages)}" if not other else f"differ in {some(other)}",
        wanted="those of the manifest",
    )


def _apt(found: Found, promises: Promises) -> CheckLine | None:
    if promises.channel is None or found.update is None:
        return None
    passed = not found.update.startswith("failed: ")
    return line_of(
        "apt",
        "apt, from our own repository",
        passed=passed,
        found=f"reads the channel {promises.channel}" if passed else found.update[-400:],
        wanted="it reads the channel, signed by our key",
    )


def _release(found: Found, _: Promises) -> CheckLine:
    return noted("release", "image", found.facts.get("release", "unknown").strip('"'))


def _programs(found: Found, _: Promises) -> CheckLine:
    return noted(
        "programs", "programs", some(list(found.programs)) if len(found.programs) < 6 else str(len(found.programs))
    )
