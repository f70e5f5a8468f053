# SPDX-License-Identifier: Apache-2.0
"""What an image says of itself: os-release(5) and the line before a log-in. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from zaffre.definition import Image
from zaffre.definition.distribution import Identity

OS_RELEASE = "usr/lib/os-release"
DEBUG_NOTICE = "debug build: a root shell is open on the console"


def os_release(identity: Identity, image: Image, *, version: str, architecture: str, base: str) -> str:
    """The text of os-release. `base` is the upstream's own, of which the code name stays.

    ID_LIKE, which has the upstream and what that is like itself, is what makes tools that ask for a family do the
    right thing.
    """
    upstream = parse_os_release(base)
    parent = upstream.get("ID", "linux")
    fields = {
        "NAME": identity.name,
        "PRETTY_NAME": f"{identity.name} {identity.version} ({image.name} {version})",
        "ID": identity.id,
        "ID_LIKE": f"{parent} {upstream.get('ID_LIKE', '')}".strip(),
        "VERSION_ID": identity.version,
        "VARIANT_ID": image.name,
        "IMAGE_ID": f"{identity.id}-{image.name}",
        "IMAGE_VERSION": version,
        "ARCHITECTURE": {"amd64": "x86-64"}.get(architecture, architecture),
    }
    if codename := upstream.get("VERSION_CODENAME"):
        fields[f"{parent.upper().replace('-', '_')}_CODENAME"] = codename
    if identity.home_url:
        fields["HOME_URL"] = str(identity.home_url)
    if identity.support_url:
        fields["SUPPORT_URL"] = str(identity.support_url)
    if image.debug:
        fields["VARIANT"] = DEBUG_NOTICE
        fields["DEBUG"] = "1"
    fields |= dict(image.os_release)
    return "".join(f"{key}={_quoted(value)}\n" for key, value in fields.items())


def parse_os_release(text: str) -> Mapping[str, str]:
    """The fields of os-release(5)."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: value.strip("\"'") for key, _, value in pairs}


def _quoted(value: str) -> str:
    r"""As a shell would read it: bare where nothing is special, else in double quotes with `$"`\\` escaped."""
    if value and all(c.isascii() and (c.isalnum() or c in "._-") for c in value):
        return value
    escaped = "".join(f"\\{c}" if c in '$"`\\' else c for c in value)
    return f'"{escaped}"'
