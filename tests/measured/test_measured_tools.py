# SPDX-License-Identifier: Apache-2.0
"""Predictions and quotes held against the field's own programs: ukify and systemd-measure, swtpm, and a real log."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from support.measured import NONCE, log_of, prediction, sound
from support.tpm import SoftwareTpm, software_tpm
from zaffre.agent.tpm import quote
from zaffre.errors import IntegrityError, WorldError
from zaffre.measured.attest import attest
from zaffre.measured.boot import read_boot
from zaffre.measured.eventlog import ZERO, read_log
from zaffre.measured.judge import JUDGED, judge_boot
from zaffre.measured.prediction import Prediction, after_phases, kernel_register
from zaffre.measured.quote import Evidence, key_text
from zaffre.pe import sections
from zaffre.sandbox import Mount, Sandbox

pytestmark = pytest.mark.tools

REAL = Path(__file__).with_name("ovmf-2025.02.log").read_bytes()
"""A container host's first boot by OVMF and systemd-boot 257, with keys of a test."""
BUILT = Prediction(
    image="container-host",
    version="1.20261127.1",
    architecture="amd64",
    loader="937f1f3b0b3fed2034f1fddcc68c835f3e4ba190143f79693816e5a9d1718da5",
    kernel_image="5e2de3d3de5b33dd1ad1223de24dc99002f6dabd7ed75bd2151d4c0fe5d4069a",
    certificate="b1ccae231abd013fc4e8cf6be5f154bf18b2fe5da90574042eb95ce9231c6501",
    registers={11: "cbfbb2ac512b61610f05a186e09ef6d60b5a1b534d8e86552d73997bcbfece68", 12: ZERO, 13: ZERO},
)
"""What that host's attestation.json says."""


def boot_into(tpm: SoftwareTpm, log: bytes) -> None:
    for event in read_log(log):
        tpm.extend(event.register, event.digest)


def quoted(tpm: SoftwareTpm, log: bytes, version: str = BUILT.version) -> Evidence:
    made = quote(tpm, NONCE, JUDGED)
    return Evidence("container-host-amd64", version, made.attest, made.signature, made.key, log)


def bad(evidence: Evidence, *, pinned: bytes | None = None, prediction: Prediction = BUILT) -> set[str]:
    found = attest(evidence, nonce=NONCE, pinned=pinned, predictions=[prediction])
    return {line.name for line in found.lines if not line.ok}


def test_a_real_log_is_what_the_build_predicts() -> None:
    booted, lines = judge_boot(read_boot(REAL), [BUILT])
    assert booted == BUILT
    assert [line for line in lines if not line.ok] == []


def test_a_real_tpm_s_quote_of_a_real_boot(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    with software_tpm(tmp_path, tools_sandbox) as tpm:
        boot_into(tpm, REAL)
        first, second = quoted(tpm, REAL), quoted(tpm, REAL)
    assert first.key == second.key, "the key is the same each time"
    assert bad(first, pinned=key_text(second.key)) == set()
    with software_tpm(tmp_path, tools_sandbox) as tpm:
        boot_into(tpm, REAL)
        assert bad(quoted(tpm, REAL), pinned=key_text(first.key)) == set(), "and after the power was off"


def test_what_is_measured_later_is_in_the_quote(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    """Root can measure more, and cannot take anything back."""
    with software_tpm(tmp_path, tools_sandbox) as tpm:
        boot_into(tpm, REAL)
        tpm.extend(11, "ab" * 32)
        assert bad(quoted(tpm, REAL)) == {"quote"}


def test_phases_that_the_host_measures_are_foreseen(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    phases = ("enter-initrd", "leave-initrd")
    tells = BUILT.model_copy(update={"phases": phases})
    with software_tpm(tmp_path, tools_sandbox) as tpm:
        boot_into(tpm, REAL)
        for phase in phases:
            assert bad(quoted(tpm, REAL), prediction=tells) == {"quote"}, "it is still in its initrd"
            tpm.extend(11, hashlib.sha256(phase.encode()).hexdigest())
        assert bad(quoted(tpm, REAL), prediction=tells) == set()
        assert bad(quoted(tpm, REAL)) == {"quote"}


def test_the_log_of_another_boot(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    """What ran is not the release, and the log says that it was."""
    with software_tpm(tmp_path, tools_sandbox) as tpm:
        boot_into(tpm, log_of(sound()))
        assert bad(quoted(tpm, REAL)) == {"quote"}
        assert bad(quoted(tpm, log_of(sound())), prediction=prediction()) == set()


def test_another_tpm_has_another_key(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with software_tpm(tmp_path / name, tools_sandbox) as tpm:
            boot_into(tpm, REAL)
            made.append(quoted(tpm, REAL))
    assert bad(made[0], pinned=key_text(made[1].key)) == {"attestation key"}


def test_what_a_tpm_refuses_is_said(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    with software_tpm(tmp_path, tools_sandbox) as tpm:
        with pytest.raises(WorldError, match="the TPM refuses the command 0x158 with 0x"):
            quote(tpm, bytes(200), JUDGED)
        for _ in range(5):
            quote(tpm, NONCE, JUDGED)  # nothing of the one that failed is left in it


def test_systemd_measure_comes_to_the_same(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    """And which of two command lines runs is not known, so a file with two is not predicted."""
    for name, text in {"linux": "no kernel\n" * 999, "initrd": "no initrd", "osrel": "ID=tiny\n"}.items():
        (tmp_path / name).write_text(text)
    mounts = [Mount(tmp_path, "/job", writable=True)]
    tools_sandbox.run(
        ["ukify", "build", "--linux=/job/linux", "--initrd=/job/initrd", "--os-release=@/job/osrel",
         "--cmdline=quiet ro", "--uname=6.0", "--efi-arch=x64", "--output=/job/uki.efi"],
        mounts=mounts,
        timeout=120,
    )  # fmt: skip
    found = dict(sections(tmp_path / "uki.efi"))
    names = ("linux", "osrel", "cmdline", "initrd", "uname", "sbat")
    for name in names:
        (tmp_path / name).write_bytes(found[f".{name}"])
    for phases in ((), ("enter-initrd", "leave-initrd")):
        said = tools_sandbox.run(
            ["/usr/lib/systemd/systemd-measure", "calculate", "--bank=sha256", f"--phase={':'.join(phases)}",
             "--json=short", *(f"--{name}=/job/{name}" for name in names)],
            mounts=mounts,
            timeout=120,
        ).stdout  # fmt: skip
        value = kernel_register(tmp_path / "uki.efi")
        assert json.loads(said)["sha256"][0]["hash"] == after_phases(value, phases)
    path = tmp_path / "uki.efi"
    path.write_bytes(path.read_bytes().replace(b".uname\0\0", b".cmdline", 1))
    with pytest.raises(IntegrityError, match=r"several sections \.cmdline"):
        kernel_register(path)
