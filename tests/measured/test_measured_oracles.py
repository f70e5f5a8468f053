# SPDX-License-Identifier: Apache-2.0
"""tpm2-tools, the field's own, come to the same answers."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from test_measured_tools import REAL, boot_into, quoted

from support.measured import NONCE
from support.tpm import software_tpm
from support.trouble import unmet
from zaffre.measured.boot import read_boot
from zaffre.measured.eventlog import read_log, replay
from zaffre.measured.judge import JUDGED, registers_of
from zaffre.measured.quote import Evidence, key_text
from zaffre.sandbox import Sandbox

__all__ = ["unmet"]
pytestmark = pytest.mark.tools


@pytest.fixture(autouse=True)
def _tools(unmet: Callable[[str], NoReturn]) -> None:
    if shutil.which("tpm2_checkquote") is None:
        unmet("tpm2-tools is not installed")


@pytest.fixture
def evidence(tools_sandbox: Sandbox, tmp_path: Path) -> Evidence:
    (tmp_path / "tpm").mkdir()
    with software_tpm(tmp_path / "tpm", tools_sandbox) as tpm:
        boot_into(tpm, REAL)
        return quoted(tpm, REAL)


def accepts(folder: Path, evidence: Evidence, nonce: bytes = NONCE) -> bool:
    """tpm2_checkquote(1), with the registers that our replay comes to."""
    values = registers_of(read_boot(evidence.log), None)
    files = {
        "key.pem": key_text(evidence.key),
        "attest": evidence.attest,
        "signature": evidence.signature,
        "registers": b"".join(bytes.fromhex(values[number]) for number in JUDGED),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        ["tpm2_checkquote", "-u", "key.pem", "-m", "attest", "-s", "signature", "-g", "sha256", "-q", nonce.hex(),
         "-f", "registers", "-F", "values", "-l", f"sha256:{','.join(map(str, JUDGED))}"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode == 0


def test_tpm2_checkquote_takes_what_the_agent_makes(evidence: Evidence, tmp_path: Path) -> None:
    assert accepts(tmp_path, evidence)
    assert not accepts(tmp_path, evidence, nonce=bytes(16))
    assert not accepts(tmp_path, replace(evidence, signature=evidence.signature[:-1] + b"\0"))
    digest = next(event.digest for event in read_log(REAL) if event.register == 11)
    other = REAL.replace(bytes.fromhex(digest), bytes(32))
    assert not accepts(tmp_path, replace(evidence, log=other)), "other registers"


def test_tpm2_eventlog_comes_to_the_same_registers(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(REAL)
    done = subprocess.run(["tpm2_eventlog", "log"], cwd=tmp_path, check=True, capture_output=True, text=True)
    told = done.stdout.partition("\npcrs:\n")[2].partition("  sha256:\n")[2].partition("  sha384:\n")[0]
    theirs = {int(number): value for number, value in re.findall(r"^ +(\d+) *: 0x([0-9a-f]{64})$", told, re.MULTILINE)}
    assert theirs == replay(read_log(REAL))
