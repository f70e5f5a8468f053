# SPDX-License-Identifier: Apache-2.0
"""Maintainer scripts of the packages of ours (deb-postinst(5) and its kin). Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from zaffre.definition import Image, SelinuxMode
from zaffre.image.serverstate import INSTALL_POLICY, PACKAGED_POLICY
from zaffre.tree.customise import SYSUSERS, TMPFILES

_TABLE = "default/contexts/files/file_contexts"
DIVERTED = ".upstream"
"""What another package's file is called beside ours of the same path."""


def kernel_scripts(install: str, *, enforced: bool = False) -> dict[str, str]:
    """`install`: the program that puts the kernel where the boot loader finds it. With `enforced`, the kernel needs an
    SELinux policy and labels: where the system's package has not laid those that it brings, it does so when it is
    configured, and installs the kernel then.
    """
    laid = f"! cmp -s /{PACKAGED_POLICY}/{_TABLE} /etc/selinux/{_TABLE} || " if enforced else ""
    return {"postinst": f'#!/bin/sh\nset -e\nif [ "$1" = configure ]; then\n    {laid}{install}\nfi\n'}


def system_scripts(
    name: str, image: Image, *, diverted: Sequence[str], owners: Mapping[str, str], install: str
) -> dict[str, str]:
    """Of the package `name` that has the definition's files. `diverted`: absolute paths that are another package's too.
    `owners`: "user:group:mode" by absolute path. `install` is the kernel's program, as `kernel_scripts` takes it.

    What an earlier release of the package diverted, and this one does not, is the other package's again.
    """
    configure = _indented(chain(_configure_lines(image, owners, install), _take_back(name, diverted)))
    scripts = {
        "postinst": f'#!/bin/sh\nset -e\nif [ "$1" = configure ]; then\n{configure}fi\n',
        "postrm": f'#!/bin/sh\nset -e\nif [ "$1" = remove ]; then\n{_indented(_take_back(name, ()))}fi\n',
    }
    if diverted:
        adds = _indented(
            f"dpkg-divert --package {name} --add --rename --divert {shlex.quote(path + DIVERTED)} {shlex.quote(path)}"
            for path in diverted
        )
        scripts["preinst"] = f'#!/bin/sh\nset -e\nif [ "$1" = install ] || [ "$1" = upgrade ]; then\n{adds}fi\n'
    return scripts


def _indented(lines: Iterable[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)


def _take_back(name: str, kept: Sequence[str]) -> Iterator[str]:
    """Undo the package's diversions but those of `kept`. One in whose place a file lies that is nobody's stays, and
    dpkg-divert says so: that is no reason to leave a machine half upgraded.
    """
    yield "LC_ALL=C dpkg-divert --list '*' |"
    yield rf"    sed -n 's/^diversion of \(.*\) to \1\{DIVERTED} by {name}$/\1/p' |"
    yield "    while IFS= read -r path; do"
    yield '        case "$path" in'
    yield from (f"        {shlex.quote(path)}) ;;" for path in kept)
    yield f'        *) dpkg-divert --package {name} --remove --rename "$path" || true ;;'
    yield "        esac"
    yield "    done"


def _configure_lines(image: Image, owners: Mapping[str, str], install: str) -> Iterator[str]:
    """Users before the owners of files. An owner or a mode that the administrator has set stays."""
    if image.users:
        yield f"systemd-sysusers /{SYSUSERS}"
    for path, text in owners.items():
        user, group, mode = text.split(":")
        place = shlex.quote(path)
        yield f"dpkg-statoverride --list {place} >/dev/null || \\"
        yield f"    dpkg-statoverride --update --add {user} {group} {mode} {place}"
    if image.selinux.mode is not SelinuxMode.OFF:
        yield f"sh /{INSTALL_POLICY}"
        yield install
    yield "[ ! -d /run/systemd/system ] || systemctl daemon-reload"
    if image.tmpfiles.lines:
        yield f"[ ! -d /run/systemd/system ] || systemd-tmpfiles --create /{TMPFILES} || true"
