# SPDX-License-Identifier: Apache-2.0
"""The model of `[ipe]`: what the kernel of an immutable host executes at all."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from zaffre.definition.values import Model


class IpeMode(StrEnum):
    """Whether what the policy does not allow is refused, or done and told; or whether there is no policy."""

    OFF = "off"
    ENFORCING = "enforcing"
    PERMISSIVE = "permissive"


class Ipe(Model):
    """Integrity Policy Enforcement, of Linux 6.12 and later: the kernel executes files of the root and of extensions
    that the owner has signed, and no others. For a host; its extensions are signed by the db key then, the one key
    that the kernel knows."""

    mode: Annotated[IpeMode, Field(strict=False)] = IpeMode.OFF
    """With "enforcing", what is not under a signed dm-verity tree is not executed. With "permissive", it is, and
    logged. With "off", there is no policy."""
