# SPDX-License-Identifier: Apache-2.0
"""Images that were customised start as those that were built: sealed ones signed here and elsewhere, and a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.cli.making import Making, signing_keys
from zaffre.image.uki import sign_pe
from zaffre.machine import AMD64, Accelerator, Guest, OwnerCertificates, Terminal, run_image
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.trust import Role

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-customised")]

_SECONDS = 300.0
_SAID = b"customised: this image says so"
_UNIT = f"""\
[Unit]
Description=Say on the console that the image was customised
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'read name </proc/sys/kernel/hostname; echo "{_SAID.decode()}, on $name" >/dev/console'
[Install]
WantedBy=multi-user.target
"""
_CHANGES = """
hostname = "web1"
[files]
trees = ["files"]
[units]
enable = ["say.service"]
[command_line]
add = ["acme.customised=1"]
"""


@dataclass(frozen=True)
class Place:
    lab: Lab
    store: Store
    sandbox: Sandbox
    certificates: OwnerCertificates
    changes: Path

    def console_of(self, image: Path, folder: Path) -> bytes:
        """What a machine of the image says until it is up."""
        with (folder / "console").open("wb") as console:
            report = run_image(
                Guest(image=image, architecture=AMD64, certificates=self.certificates),
                Accelerator.TCG,
                store=self.store,
                sandbox=self.sandbox,
                terminal=Terminal(output=console.fileno()),
                on_ready=lambda _, __: None,
                seconds_to_ready=_SECONDS,
                stop_when_ready=True,
            )
        said = (folder / "console").read_bytes()
        assert report.state == "running", said[-2000:]
        return said


@pytest.fixture(scope="module")
def place(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("changes")
    unit = folder / "files/usr/lib/systemd/system/say.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(_UNIT)
    (folder / "changes.toml").write_text(_CHANGES)
    with lab.workspace() as work:
        certificates = OwnerCertificates(*(work.keys.public_path(role) for role in (Role.PK, Role.KEK, Role.DB)))
        yield Place(lab, work.store, Making(work).sandbox, certificates, folder / "changes.toml")


@pytest.mark.long
def test_a_sealed_image_that_was_signed_here_starts(place: Place, tmp_path: Path) -> None:
    image = place.lab.build("container-host") / "image.raw"
    place.lab.zaffre("customize", str(image), "--with", str(place.changes), "-o", str(tmp_path / "new"))
    place.lab.zaffre("verify", str(tmp_path / "new"))
    assert _SAID + b", on web1" in place.console_of(tmp_path / "new/image.raw", tmp_path)


@pytest.mark.long
def test_a_sealed_image_that_was_signed_elsewhere_starts(place: Place, tmp_path: Path) -> None:
    image = place.lab.build("container-host") / "image.raw"
    waiting, signed, new = tmp_path / "waiting", tmp_path / "signed", tmp_path / "new"
    place.lab.zaffre("customize", str(image), "--with", str(place.changes), "-o", str(waiting), "--unsigned")
    signed.mkdir()
    with place.lab.workspace() as work:
        for path in (waiting / "to-sign").iterdir():
            keys = signing_keys(work.keys)
            sign_pe(path, signed / path.name, keys=keys, epoch=1_800_000_000, sandbox=place.sandbox)
    certificate = place.lab.keys / Role.DB.public_name
    words = ("--signed", str(signed), "--certificate", str(certificate), "-o", str(new))
    place.lab.zaffre("sign", "inject", str(waiting), *words)
    place.lab.zaffre("verify", str(new))
    assert _SAID + b", on web1" in place.console_of(new / "image.raw", tmp_path)


@pytest.mark.long
def test_a_server_starts(place: Place, tmp_path: Path) -> None:
    image = place.lab.build("server") / "image.raw"
    place.lab.zaffre("customize", str(image), "--with", str(place.changes), "-o", str(tmp_path / "new"))
    place.lab.zaffre("verify", str(tmp_path / "new"))
    assert _SAID in place.console_of(tmp_path / "new/image.raw", tmp_path)
