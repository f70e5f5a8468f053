# SPDX-License-Identifier: Apache-2.0
"""The model of `[selinux]`: the mandatory access control of a host or a server."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from zaffre.definition.values import Identifier, Model, RelativePath


class SelinuxMode(StrEnum):
    """Whether what the policy does not allow is refused, or done and told; or whether there is no policy."""

    OFF = "off"
    ENFORCING = "enforcing"
    PERMISSIVE = "permissive"


class Selinux(Model):
    """SELinux: a policy says what each service may do, root or not. It is made when the image is built, of modules of
    the upstream's package and of files of our own, and its labels are in the image's file system. For a host or
    a server; modules and compiler are among the tools: `unpacked` has selinux-policy-default, `packages` secilc."""

    mode: Annotated[SelinuxMode, Field(strict=False)] = SelinuxMode.OFF
    """With "enforcing", what the policy does not allow is refused. With "permissive", it is done, and logged: for
    writing a policy. With "off", there is no SELinux."""
    modules: Annotated[tuple[Identifier, ...], Field(strict=False)] = ()
    """Modules of the upstream's policy, beside its base, which has those of the system itself. A module that another
    one needs has to be named too."""
    files: Annotated[tuple[RelativePath, ...], Field(strict=False)] = ()
    """Files of our own in the common intermediate language (secilc(8)), compiled together with the modules: types,
    rules and labels of files."""
