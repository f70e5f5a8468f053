# SPDX-License-Identifier: Apache-2.0
"""A layout to a registry, by skopeo of the tools tree.

What counts is written last: layers, then the image of each architecture by its digest, then what the tag names, in one
request. A push that stops anywhere leaves the tag as it was, and the next one finds what has arrived.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import IntegrityError, WorldError
from zaffre.oci import named_files, read_layout
from zaffre.progress import Progress
from zaffre.registry.access import access_to
from zaffre.registry.index import join_layouts
from zaffre.registry.reference import Reference
from zaffre.sandbox import Completed, Mount, Sandbox
from zaffre.store import Store

_LAYOUT = "/run/layout"
_RESULT = "/run/result"
_RETRIES = 3
_FATAL = re.compile(r'level=fatal msg="((?:[^"\\]|\\.)*)"')
_AGAIN = "run the same command again: what has arrived is not sent twice, and the tag is still where it was"
_REASONS = (
    (
        re.compile(r"unauthorized|authentication required|denied|invalid username/password", re.IGNORECASE),
        "the registry refuses who pushes",
        "log in with `podman login` or `docker login`, as somebody who may write there; " + _AGAIN,
    ),
    (
        re.compile(r"server gave HTTP response to HTTPS client|first record does not look like a TLS handshake"),
        "the registry speaks no TLS",
        "give --plain-http if it is one that you trust the way to, such as a test on this machine",
    ),
    (
        re.compile(r"certificate|x509"),
        "the registry's certificate is not vouched for",
        "put its authority's certificate into /etc/containers/certs.d/REGISTRY/ca.crt, or give SSL_CERT_FILE",
    ),
    (
        re.compile(r"no such host|connection refused|network is unreachable|no route to host"),
        "the registry cannot be reached",
        "look at its name and port, and whether it runs; " + _AGAIN,
    ),
)


@dataclass(frozen=True)
class Push:
    """What to push. `layouts` are folders of builds, one for each architecture; `seconds` is the limit of it all.

    `plain_http` lets it speak HTTP, or TLS that nobody vouches for.
    """

    reference: Reference
    layouts: tuple[Path, ...]
    seconds: float
    plain_http: bool = False


@dataclass(frozen=True)
class Pushed:
    """`digest` is what the tag names; `files` and `bytes` are those of the layout, sent now or found there."""

    reference: str
    digest: str
    platforms: tuple[str, ...]
    files: int
    bytes: int


def plan(order: Push, folder: Path) -> Pushed:
    """Make in `folder`, which is absent, the layout that would be pushed. Raises what `join_layouts` does."""
    digest = join_layouts(order.layouts, folder)
    images = read_layout(folder)
    sizes = [(folder / name).stat().st_size for name in named_files(images)]
    platforms = tuple(str(image.manifest.platform or _platform(image.config)) for image in images)
    return Pushed(str(order.reference), digest, platforms, len(sizes), sum(sizes))


def push(
    order: Push,
    *,
    store: Store,
    sandbox: Sandbox,
    progress: Progress,
    environ: Mapping[str, str],
    home: Path,
    dry_run: bool = False,
) -> Pushed:
    """Push, and see that the registry has what was sent.

    Raises WorldError where the registry refuses, is too slow or goes away: the tag is then as it was before.
    IntegrityError for a layout that does not hold, DefinitionError for credentials that can't be had.
    """
    with store.scratch("push") as scratch:
        planned = plan(order, scratch / "layout")
        if dry_run:
            return planned
        result = scratch / "result"
        result.mkdir()
        with progress.step(f"push {order.reference}") as remark:
            done = _copy(order, scratch, sandbox, environ=environ, home=home)
            if done.returncode != 0:
                raise _refused(order.reference, done)
            sent = (result / "digest").read_text(encoding="ascii").strip()
            if sent != planned.digest:
                raise IntegrityError(
                    f"the registry was given {sent}, not {planned.digest}",
                    where=str(order.reference),
                    resolution="the registry does not take OCI images as they are: use another one",
                )
            remark(f"{planned.bytes / 1e6:.1f} MB, {planned.digest[:19]}")
    return planned


def _copy(order: Push, scratch: Path, sandbox: Sandbox, *, environ: Mapping[str, str], home: Path) -> Completed:
    access = access_to(order.reference.registry, tools=sandbox.tools.root, scratch=scratch, environ=environ, home=home)
    words: Sequence[str] = (
        "skopeo",
        "--insecure-policy",  # of the source: what we have built, and hold against its manifest
        f"--command-timeout={int(order.seconds)}s",
        "copy",
        "--all",
        "--preserve-digests",
        f"--retry-times={_RETRIES}",
        f"--digestfile={_RESULT}/digest",
        f"--dest-tls-verify={'false' if order.plain_http else 'true'}",
        *access.options,
        f"oci:{_LAYOUT}",
        f"docker://{order.reference}",
    )
    return sandbox.run(
        words,
        mounts=[
            *access.mounts,
            Mount(scratch / "layout", _LAYOUT),
            Mount(scratch / "result", _RESULT, writable=True),
        ],
        env={**access.environment, "TMPDIR": "/tmp"},  # noqa: S108 - inside
        timeout=order.seconds + 30,
        network=True,
        check=False,
    )


def _refused(reference: Reference, done: Completed) -> WorldError:
    said = _FATAL.findall(done.stderr_tail)
    details = said[-1].replace('\\"', '"').replace("\\n", "\n") if said else done.stderr_tail.strip()[-2000:]
    if "deadline exceeded" in details:
        brief, resolution = "the registry was too slow", f"give more time by --timeout; {_AGAIN}"
    else:
        brief, resolution = next(
            ((brief, next_) for pattern, brief, next_ in _REASONS if pattern.search(details)),
            ("the push stopped half way", _AGAIN),
        )
    return WorldError(brief, where=str(reference), details=details, resolution=resolution)


def _platform(config: Mapping[str, object]) -> str:
    return f"{config.get('os')}/{config.get('architecture')}"
