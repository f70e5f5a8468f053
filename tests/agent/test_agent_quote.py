# SPDX-License-Identifier: Apache-2.0
"""`zaffre-agent quote`: what a node gives away of its boot, and what it says when it cannot."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.measured import NONCE, log_of, prediction, sound
from support.nodes import Slots
from support.tpm import software_tpm
from zaffre.agent.program import main
from zaffre.agent.quote import REGISTERS, evidence, nonce_of
from zaffre.agent.tpm import quote
from zaffre.errors import DefinitionError, WorldError
from zaffre.measured.attest import attest
from zaffre.measured.eventlog import read_log
from zaffre.measured.judge import JUDGED
from zaffre.measured.quote import read_bundle
from zaffre.sandbox import Sandbox


@dataclass
class Answers:
    """A TPM that says these things, one after the other."""

    said: list[bytes]
    asked: list[bytes] = field(default_factory=list)

    def send(self, command: bytes) -> bytes:
        self.asked.append(command)
        return self.said.pop(0)


@pytest.fixture
def host(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "incoming", "1.1")


def test_what_is_asked_for_is_what_is_judged() -> None:
    assert REGISTERS == JUDGED


@pytest.mark.tools
def test_the_desk_believes_what_the_node_prints(tools_sandbox: Sandbox, tmp_path: Path, host: Slots) -> None:
    log = tmp_path / "log"
    log.write_bytes(log_of(sound()))
    with software_tpm(tmp_path, tools_sandbox) as tpm:
        for event in read_log(log.read_bytes()):
            tpm.extend(event.register, event.digest)
        printed = json.dumps(evidence(host, tpm, NONCE, log=log)).encode()
    read = read_bundle(printed, "node.json")
    assert (read.product, read.version) == ("host-amd64", "1.1")
    found = attest(read, nonce=NONCE, pinned=None, predictions=[prediction()])
    assert [line for line in found.lines if not line.ok] == []


@pytest.mark.parametrize("text", ["", "xyz", "00" * 7, "00" * 33, "0" * 17])
def test_what_is_no_nonce(text: str) -> None:
    with pytest.raises(DefinitionError, match="8 to 32 bytes in hexadecimal"):
        nonce_of(text)


def test_a_node_without_a_log_or_a_tpm_says_so(tmp_path: Path, host: Slots, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorldError, match="the log of the boot cannot be read"):
        evidence(host, Answers([]), NONCE, log=tmp_path / "none")
    assert main(["quote", "--nonce", NONCE.hex(), "--tpm", str(tmp_path / "none")], host=host) == 3
    assert "the TPM cannot be used: No such file" in capsys.readouterr().err
    assert main(["quote", "--nonce", "00", "--json"], host=host) == 2
    assert "hexadecimal" in json.loads(capsys.readouterr().out)["error"]


REFUSED = struct.pack(">HII", 0x8001, 10, 0x000009A2)
MADE = struct.pack(">HIII", 0x8002, 20, 0, 0x80000000) + struct.pack(">IH", 2, 0)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([b""], "cut off"),
        ([REFUSED[:9]], "cut off"),
        ([REFUSED], "refuses the command 0x131 with 0x9a2"),
        ([struct.pack(">HII", 0x8002, 999, 0) + bytes(20)], "cut off"),
        ([MADE, REFUSED, b""], "refuses the command 0x158 with 0x9a2"),
        ([MADE, struct.pack(">HIIIH", 0x8002, 16, 0, 2, 500), b""], "cut off"),
    ],
    ids=["silence", "short", "refused", "long", "quote refused", "quote cut"],
)
def test_a_tpm_that_does_not_answer_as_it_should(said: list[bytes], words: str) -> None:
    tpm = Answers(said)
    with pytest.raises(WorldError, match=words):
        quote(tpm, NONCE, REGISTERS)
    assert tpm.said == [], "whatever was made is flushed"
