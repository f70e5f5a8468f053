# SPDX-License-Identifier: Apache-2.0
"""What a server calls itself before and after a log-in. Pure.

The upstream's /etc/issue and issue.net are configuration files of a package, and its /etc/motd is made by a script:
none of them can be another package's. But programs look below /usr/lib when /etc has none (agetty(8), ISSUE FILES;
pam_motd(8)). So the upstream's are left out, upgrades included, ours are below /usr/lib, and /etc is the
administrator's. For issue.net, which nobody looks for elsewhere, there is a link, as systemd makes one for os-release.
"""

from __future__ import annotations

from collections.abc import Mapping

from zaffre.definition.distribution import Identity

EXCLUDED = ("/etc/issue", "/etc/issue.net")
"""What packages of the upstream bring, and are not to bring again."""
REPLACED = frozenset({*EXCLUDED, "/etc/motd"})
"""Absolute paths of the upstream's texts, which are in no image of ours."""


def greeting_files(identity: Identity) -> Mapping[str, str]:
    """By relative path."""
    name = f"{identity.name} {identity.version}"
    addresses = [str(url) for url in (identity.home_url, identity.support_url) if url is not None]
    return {
        "usr/lib/issue": f"{name} \\n \\l\n\n",
        "usr/lib/issue.net": f"{name}\n",
        "usr/lib/motd": "".join(f"{line}\n" for line in (f"Welcome to {name}.", *addresses)),
        "usr/lib/tmpfiles.d/zaffre-issue.conf": "L /etc/issue.net - - - - ../usr/lib/issue.net\n",
    }
