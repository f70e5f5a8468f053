# SPDX-License-Identifier: Apache-2.0
"""`zaffre run` and `zaffre check` of a container image."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zaffre.errors import DefinitionError

if TYPE_CHECKING:
    from zaffre.cli.making import Making
    from zaffre.definition import Image
    from zaffre.image import Build
    from zaffre.machine import CheckReport
    from zaffre.machine.container import Source

LAYOUT = "oci"


def run_container(making: Making, built: Build, command: Sequence[str], *, network: bool) -> int:
    """Run the image's own command, or another, with this terminal; its exit code."""
    from zaffre.machine.crun import unpacked
    from zaffre.oci import read_layout

    work = making.work
    _require_runnable(built)
    layout = built.folder / LAYOUT
    with unpacked(layout, read_layout(layout)[0], store=work.store, sandbox=making.sandbox) as bundle:
        return bundle.attach(bundle.command(command), network=network, interactive=not sys.stdin.closed)


def check_container(making: Making, image: Image, built: Build, *, seconds: float) -> CheckReport:
    """Have the image prove what it promises."""
    from zaffre.machine.container import ContainerSubject
    from zaffre.machine.container import check_container as check
    from zaffre.machine.judge_container import Promises

    work = making.work
    _require_runnable(built)
    promises = Promises(
        bare=image.container.bare,
        user=image.container.user,
        packages=frozenset(one.name for one in built.manifest.packages),
        channel=image.channel,
    )
    with _source(making, image) as source:
        return check(
            ContainerSubject(image.name, built.folder / LAYOUT, promises, source),
            store=work.store,
            sandbox=making.sandbox,
            progress=work.progress,
            seconds=seconds,
        )


def _require_runnable(built: Build) -> None:
    from zaffre.upstream.requests import host_architecture

    if built.manifest.architecture != host_architecture():
        raise DefinitionError(
            f"an image for {built.manifest.architecture} cannot be run on a machine of {host_architecture()}",
            where="--arch",
            resolution=f"run it on a machine of {built.manifest.architecture}: the image is built, in {built.folder}",
        )


@contextmanager
def _source(making: Making, image: Image) -> Iterator[Source | None]:
    """A repository with the image's packages, signed by our own key and served on the loopback, where it follows one.

    It is what `zaffre repo build` publishes, for this image alone.
    """
    if image.channel is None:
        yield None
        return
    from zaffre.cli.repository import hand
    from zaffre.machine.container import Source
    from zaffre.place.target import open_target
    from zaffre.repository.build import Order

    work = making.work
    with work.store.scratch("repository") as folder:
        making.repository.publish(
            Order(images=(image.name,)), open_target(str(folder)), hand(work), channel=image.channel
        )
        with _served(folder) as url:
            text = work.distribution.apt_sources(image.channel).replace(work.distribution.own_repository.url, url)
            yield Source(f"/etc/apt/sources.list.d/{work.distribution.identity.id}.sources", text)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """A folder by HTTP, on a free port of the loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
