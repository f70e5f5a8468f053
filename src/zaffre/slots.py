# SPDX-License-Identifier: Apache-2.0
"""The names by which a host's two slots and what is written into them are known.

The image that is built, the transfer files of systemd-sysupdate in it, and the agent that hands files over must mean
the same by them. Pure, and imports nothing of ours. docs/formats.md describes them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

INCOMING = "/var/lib/zaffre/agent/incoming"
"""The folder of verified files from which systemd-sysupdate fills a slot."""

HEALTH = "/var/lib/zaffre/health"
"""The verdicts of boots, `<version>.json`, and `bad/<version>` for each version that did not come up."""

SIGNED_ONLY = "root=signed+absent:usr=signed+absent"
"""The image policy (systemd.image-policy(7)) under which an extension without a good signature is refused."""

INSTANCES = 2
"""Versions that are kept: one a slot."""


def slot_label(image: str, version: str) -> str:
    """The GPT label of a slot's root and of its verity tree, which their types tell apart."""
    return f"{image}_{version}"


def entry_name(image_id: str, version: str, *, tries: int = 0) -> str:
    """The kernel image's name on the ESP, with `tries` boots left to be counted (systemd-boot(7), "Boot counting").

    `image_id` is IMAGE_ID of os-release: other systems may have their kernels on the same ESP.
    """
    return f"{image_id}_{version}{f'+{tries}' if tries else ''}.efi"


def root_uuids(root_hash: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Partition UUIDs of root and verity tree: the first and the last 128 bits of the root hash, by which
    systemd-veritysetup-generator(8) finds them.
    """
    return uuid.UUID(root_hash[:32]), uuid.UUID(root_hash[-32:])


def incoming_names(image: str, version: str, root_hash: str) -> Mapping[str, str]:
    """By the name of a release's file, that under which it is put into `INCOMING`."""
    data, tree = root_uuids(root_hash)
    label = slot_label(image, version)
    return {
        "root.verity": f"{label}_{tree}.root.verity",
        "root.erofs": f"{label}_{data}.root.erofs",
        "uki.efi": f"{label}.uki.efi",
    }
