# SPDX-License-Identifier: Apache-2.0
"""The stock system to compare with, solved by apt from a small archive; and the comparison."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import DEBIAN, NOW, feed, fixed, installed, subject

from support.repository import NOW as TODAY
from support.repository import Archive, Deb, Mirror, keyring, signing_key
from support.upstreams import QUICK, make_upstream, mirrors
from zaffre.advisory.compare import compare
from zaffre.advisory.scan import Known, scan
from zaffre.advisory.stock import CONTAINER_HOST, SERVER, stock_subject
from zaffre.definition import DebUpstream
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.deb.refresh import refresh


def of(name: str, version: str = "1-1", priority: str = "optional", **fields: str) -> Deb:
    return Deb(name, version, "amd64", {"Priority": priority, **{key.title(): value for key, value in fields.items()}})


@pytest.mark.tools
def test_a_stock_system_is_what_the_installer_would_install(tmp_path: Path, tools_sandbox: Sandbox) -> None:
    """From the release alone, with what is recommended; a fix in a pocket is not in it."""
    key = signing_key()
    archive = Archive()
    for one in (
        of("base-files", priority="required", essential="yes"),
        of("libc6", priority="optional"),
        of("bash", priority="required", depends="libc6"),
        of("less", priority="standard"),
        of("games", priority="optional"),
        of("linux-image-amd64", recommends="firmware"),
        of("firmware"),
        of("grub-efi-amd64"),
        of("openssh-server"),
        of("containerd", depends="runc"),
        of("runc"),
    ):
        archive.add(one, suite="stable")
    archive.add(of("openssh-server", "1-1+deb13u1"), suite="stable-security")
    for suite in ("stable", "stable-security"):
        archive.publish([key], suite=suite)
    base = make_upstream(tmp_path, keyring(key))
    suites = [{"archive": "debian", "suite": name, "components": ["main"]} for name in ("stable", "stable-security")]
    upstream = DebUpstream.model_validate({**dict(base), "suites": suites})
    store = Store(tmp_path / "store")
    with Mirror({"debian": archive}) as mirror:
        indexes = refresh(upstream, mirrors(mirror.url), store, architectures=["amd64"], now=TODAY, limits=QUICK)
    server, host = (
        stock_subject(upstream, indexes, "amd64", task, sandbox=tools_sandbox, store=store)
        for task in (SERVER, CONTAINER_HOST)
    )
    base_names = {"base-files", "bash", "libc6", "less", "linux-image-amd64", "firmware", "grub-efi-amd64"}
    assert {one.name: one.version for one in server.packages} == dict.fromkeys({*base_names, "openssh-server"}, "1-1")
    assert {one.name for one in host.packages} - {one.name for one in server.packages} == {"containerd", "runc"}


def test_a_comparison_counts_a_vulnerability_once_and_the_kernel_apart() -> None:
    known = Known(
        (
            feed(
                fixed("CVE-2026-1", "openssl", "2"),
                fixed("CVE-2026-1", "other", "2"),
                fixed("CVE-2026-2", "linux", "2"),
                fixed("CVE-2026-3", "zlib", None),
                fixed("CVE-2026-4", "zlib", "1"),
            ),
        )
    )
    ours = scan([subject(installed("openssl", "2"), installed("linux", "1"))], known, now=NOW)
    everything = [installed(name, "1") for name in ("openssl", "other", "linux", "zlib")]
    peer = scan([subject(*everything, title="stock", platform=DEBIAN)], known, now=NOW)
    found = compare(ours, peer)
    assert [(row.title, row.ours, row.peer, row.ratio) for row in found.rows] == [
        ("packages", 2, 4, 0.5),
        ("open, with a fix", 1, 2, 0.5),
        ("open, with a fix, outside the kernel", 0, 1, 0.0),
        ("open, waiting", 0, 1, 0.0),
        ("known of the packages, open or mended", 2, 4, 0.5),
        ("known of them outside the kernel", 1, 3, 0.333),
    ]
    assert found.peer_title == "stock"
