# SPDX-License-Identifier: Apache-2.0
"""Which distribution something is of: by the lock, or by what a root says of itself (os-release(5))."""

from __future__ import annotations

from collections.abc import Mapping

from zaffre.advisory.subject import Platform
from zaffre.definition import DebUpstream, Distribution, Upstream
from zaffre.errors import FindingError

# ID of os-release -> the distribution's name among OSV's ecosystems, and its family.
_KNOWN = {
    "debian": ("Debian", "deb"),
    "ubuntu": ("Ubuntu", "deb"),
    "azurelinux": ("Azure Linux", "rpm"),
    "fedora": ("Fedora", "rpm"),
    "rocky": ("Rocky Linux", "rpm"),
    "almalinux": ("AlmaLinux", "rpm"),
}
# Names of suites that are no code name: what is in them says another one.
_MOVING = {"oldstable", "stable", "testing", "unstable", "sid"}
_WHOLE_VERSION = {"ubuntu"}


def platform_of(upstream: Upstream) -> Platform:
    """The platform of what is locked from an upstream."""
    title = f"{upstream.ecosystem or upstream.name} (upstream '{upstream.name}')"
    return Platform(upstream.family, title, upstream.name, upstream.ecosystem)


def platform_of_root(fields: Mapping[str, str], distribution: Distribution | None, where: str) -> Platform:
    """What os-release's fields say. The definition's own images are of their upstream; a suite is known by its code
    name. Raises FindingError for a root that does not say what it is, or is of a distribution that nobody here knows.
    """
    identity = fields.get("ID", "")
    if not identity:
        raise FindingError(
            "it does not say which distribution it is",
            where=f"{where}/etc/os-release",
            resolution="a root needs an os-release with ID: without it, no feed can be said to be its own",
        )
    if distribution is not None and (upstream := _upstream(fields, distribution, where)) is not None:
        return platform_of(upstream)
    if identity in _KNOWN and (version := fields.get("VERSION_ID")):
        name, family = _KNOWN[identity]
        ecosystem = f"{name}:{version if identity in _WHOLE_VERSION else version.split('.')[0]}"
        for one in distribution.upstreams.values() if distribution else ():
            if one.ecosystem == ecosystem:
                return platform_of(one)
        return Platform(family, fields.get("PRETTY_NAME", f"{name} {version}"), None, ecosystem)
    raise FindingError(
        f"the distribution '{identity}' is unknown here",
        where=f"{where}/etc/os-release",
        details=f"ID={identity}, ID_LIKE={fields.get('ID_LIKE', '')}, VERSION_ID={fields.get('VERSION_ID', '')}",
        resolution="scan it from the distribution that it was built by (--distro DIR)",
    )


def image_of_root(fields: Mapping[str, str], distribution: Distribution | None) -> str | None:
    """The name of the definition's image that a root is of; None for another's."""
    name = fields.get("VARIANT_ID", "")
    ours = distribution is not None and fields.get("ID") == distribution.identity.id and name in distribution.images
    return name if ours else None


def _require_release(fields: Mapping[str, str], upstream: Upstream, image: str, where: str) -> None:
    """A root that was made when the image was of another release is not read as of this one."""
    names = {value for key, value in fields.items() if key.endswith("_CODENAME") and key != "VERSION_CODENAME"}
    if not isinstance(upstream, DebUpstream) or not names or upstream.suites[0].suite in {*names, *_MOVING}:
        return
    raise FindingError(
        f"it is of '{', '.join(sorted(names))}', and image '{image}' of the definition of '{upstream.suites[0].suite}'",
        where=f"{where}/etc/os-release",
        resolution="scan it with the definition that it was made from (--distro DIR)",
    )


def _upstream(fields: Mapping[str, str], distribution: Distribution, where: str) -> Upstream | None:
    # Ours keep the upstream's code name under the upstream's name: DEBIAN_CODENAME. Others that call their own release
    # as the upstream does may have built its packages anew, with versions that no feed speaks of.
    own = {"VERSION_CODENAME"} if fields.get("ID") not in _KNOWN else set()
    names = {value for key, value in fields.items() if key.endswith("_CODENAME") and key not in own}
    image = image_of_root(fields, distribution)
    if image is not None:
        upstream = distribution.upstream_of(distribution.image(image))
        _require_release(fields, upstream, image, where)
        return upstream
    for upstream in distribution.upstreams.values():
        if isinstance(upstream, DebUpstream) and upstream.suites[0].suite in names:
            return upstream
    return None
