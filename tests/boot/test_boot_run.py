# SPDX-License-Identifier: Apache-2.0
"""What a booted machine tells, how it is ended, and what is kept out of it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.cli.making import Making
from zaffre.digest import sha256_file
from zaffre.errors import FindingError
from zaffre.machine import (
    AMD64,
    Accelerator,
    Guest,
    OwnerCertificates,
    Subject,
    Terminal,
    check_image,
    run_image,
)
from zaffre.sandbox import Sandbox
from zaffre.store import Store, copy_sparse
from zaffre.trust import Role
from zaffre.trust.gpt import read_partitions

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

_LIMIT = 300.0


@dataclass(frozen=True)
class Place:
    image: Path
    extension: Path
    certificates: OwnerCertificates
    store: Store
    sandbox: Sandbox


@pytest.fixture(scope="module")
def place(lab: Lab) -> Iterator[Place]:
    image, extension = lab.build("container-host") / "image.raw", lab.build("check") / "extension.raw"
    with lab.workspace() as work:
        certificates = OwnerCertificates(*(work.keys.public_path(role) for role in (Role.PK, Role.KEK, Role.DB)))
        yield Place(image, extension, certificates, work.store, Making(work).sandbox)


def test_a_machine_tells_that_it_is_up_and_ctrl_c_presses_its_power_button(place: Place, tmp_path: Path) -> None:
    before = sha256_file(place.image)
    told: list[str] = []

    def ready(state: str, seconds: float) -> None:
        told.append(state)
        os.kill(os.getpid(), signal.SIGINT)

    with (tmp_path / "console").open("wb") as console:
        report = run_image(
            Guest(image=place.image, architecture=AMD64, certificates=place.certificates),
            Accelerator.TCG,
            store=place.store,
            sandbox=place.sandbox,
            terminal=Terminal(output=console.fileno()),
            on_ready=ready,
            seconds_to_ready=_LIMIT,
        )
    assert told == [report.state] == ["running"]
    assert report.seconds_to_ready is not None
    shown = (tmp_path / "console").read_bytes()
    assert b"Power down" in shown, "the guest ended in order"
    assert b"\x1b[2J" not in shown.partition(b"BdsDxe")[0], "the terminal is not cleared"
    assert b"mke2fs" not in shown, "a /var that was made is nothing to tell"
    assert b"FAILED" not in shown, "/var is unmounted like all else"
    assert sha256_file(place.image) == before, "all that the guest wrote went elsewhere"


def test_an_extension_with_a_broken_signature_is_refused_by_the_guest(place: Place, tmp_path: Path) -> None:
    damaged = tmp_path / "extension.raw"
    copy_sparse(place.extension, damaged)
    _break_signature(damaged)
    subject = Subject(
        name="container-host",
        image=place.image,
        extension=damaged,
        certificates=place.certificates,
        architecture=AMD64,
    )
    with pytest.raises(FindingError, match="the check's extension was refused") as caught:
        check_image(subject, Accelerator.TCG, store=place.store, sandbox=place.sandbox, seconds=_LIMIT)
    assert "the console's last lines" in (caught.value.details or "")


def _break_signature(extension: Path) -> None:
    """Changes the PKCS#7 blob; the JSON around it stays sound (Discoverable Partitions Specification)."""
    partition = next(one for one in read_partitions(extension) if one.label.endswith("sig"))
    with extension.open("r+b") as file:
        file.seek(partition.offset)
        document = json.loads(file.read(partition.size).rstrip(b"\0"))
        signature = document["signature"]
        at = len(signature) - 40
        document["signature"] = signature[:at] + ("A" if signature[at] != "A" else "B") + signature[at + 1 :]
        data = json.dumps(document, separators=(",", ":")).encode()
        assert len(data) <= partition.size
        file.seek(partition.offset)
        file.write(data.ljust(partition.size, b"\0"))
