# SPDX-License-Identifier: Apache-2.0
"""A tree becomes a bootable, verified, signed image, or an extension of one."""

from zaffre.image.builder import PROFILES, Build, Builder, Order
from zaffre.image.uki import PcrKey, SigningKeys

__all__ = ["PROFILES", "Build", "Builder", "Order", "PcrKey", "SigningKeys"]
