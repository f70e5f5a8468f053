# SPDX-License-Identifier: Apache-2.0
"""`zaffre attest`: a node's quote against the releases of a place, or one build."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from support.measured import KERNEL_IMAGE, NONCE, Tpm, prediction, sound
from support.releases import Yard
from support.shell import Shell
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.follow.layout import target_place
from zaffre.measured.prediction import ATTESTATION_NAME, Prediction
from zaffre.measured.quote import Evidence, key_text
from zaffre.release.attest import AttestReport, attest, known_build, known_releases

TPM = Tpm()
OLD, NEW = "cc" * 32, KERNEL_IMAGE


def predicted(version: str, kernel_image: str = NEW, image: str = "host") -> dict[str, bytes]:
    found: Prediction = prediction(version, kernel_image=kernel_image, image=image)
    return {ATTESTATION_NAME: found.model_dump_json().encode()}


@pytest.fixture
def offered(yard: Yard) -> Yard:
    """1.0 from a time without predictions; 1.1 and 1.2 with them, 1.1 in both channels."""
    yard.publish("1.0")
    yard.publish("1.1", contents=predicted("1.1", OLD))
    yard.publish("1.2", contents=predicted("1.2", NEW))
    yard.promote("1.1")
    return yard


def judged(yard: Yard, evidence: Evidence) -> AttestReport:
    known = known_releases(yard.place, yard.first)
    return attest(evidence, nonce=NONCE, pinned=key_text(TPM.key), known=known)


def bad(report: AttestReport) -> dict[str, str]:
    return {line.name: line.found for line in report.lines if not line.ok}


def test_a_node_runs_the_newest_release(offered: Yard) -> None:
    report = judged(offered, TPM.evidence(sound(), version="1.2"))
    assert (report.ok, report.image, report.version) == (True, "host", "1.2")
    assert report.lines[-1].found == "the newest"


def test_an_older_release_is_told_and_a_revoked_one_does_not_hold(offered: Yard) -> None:
    old = TPM.evidence(sound(kernel_image=OLD), version="1.1")
    report = judged(offered, old)
    assert report.ok
    assert report.lines[-1].found == "good, and 1.2 is newer"
    offered.revoke("1.1")
    assert bad(judged(offered, old)) == {"release": f"revoked on {offered.clock:%Y-%m-%d}: it is bad"}


def test_a_host_that_gives_itself_out_for_another(offered: Yard) -> None:
    assert set(bad(judged(offered, TPM.evidence(sound(), version="1.1")))) == {"what it says it is"}


def test_a_kernel_image_of_no_release(offered: Yard) -> None:
    report = judged(offered, TPM.evidence(sound(kernel_image="dd" * 32), version="1.2"))
    assert report.version is None
    assert "kernel image" in bad(report)


def test_a_place_that_shows_an_old_state_is_not_believed(offered: Yard) -> None:
    offered.later(days=-400)
    offered._keep(offered.desk().renew(None))
    with pytest.raises(IntegrityError, match="cannot be trusted"):
        known_releases(offered.place, offered.first)


def test_a_prediction_that_was_changed_or_is_missing(offered: Yard) -> None:
    record = offered.records()["1.2"]
    path = record.files[ATTESTATION_NAME]
    signed = offered.state().role("dev").signed
    file = offered.repo / target_place(path, signed.targets[path].hashes["sha256"])
    file.write_bytes(file.read_bytes().replace(b"1a1a", b"2a2a"))
    with pytest.raises(IntegrityError, match="not the one that is listed"):
        known_releases(offered.place, offered.first)
    file.unlink()
    with pytest.raises(IntegrityError, match="missing"):
        known_releases(offered.place, offered.first)


def test_the_prediction_of_another_release(yard: Yard) -> None:
    yard.publish("1.1", contents=predicted("1.0"))
    with pytest.raises(IntegrityError, match="of another release than host-amd64"):
        known_releases(yard.place, yard.first)


def test_releases_that_predict_nothing(yard: Yard) -> None:
    yard.publish("1.0")
    with pytest.raises(DefinitionError, match="no release here has its"):
        known_releases(yard.place, yard.first)


def test_a_build_of_ones_own(yard: Yard) -> None:
    build = yard.build("1.1", contents=predicted("1.1"))
    certificates = yard.owner.certificates
    known = known_build(build, certificates)
    report = attest(TPM.evidence(sound()), nonce=NONCE, pinned=None, known=[known])
    assert (report.ok, report.version) == (True, "1.1")
    (build / ATTESTATION_NAME).write_bytes(b"{}")
    with pytest.raises(IntegrityError, match="not the one of the manifest"):
        known_build(build, certificates)
    with pytest.raises(DefinitionError, match="this build has no"):
        known_build(yard.build("1.0"), certificates)


def test_the_command(
    offered: Yard, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("root.json").write_bytes(offered.first)
    shell = Shell(capsys)
    options = ("--nonce", NONCE.hex(), "--release", offered.repo, "--root", "root.json")
    write(Path("node.json"), TPM.evidence(sound(), version="1.2"))
    assert shell("attest", "node.json", *options) == 2
    assert "--pin FILE" in shell.err
    assert shell("attest", "node.json", *options, "--pin", "node.pub") == 0
    assert "the node booted host 1.2" in shell.out
    assert Path("node.pub").read_bytes() == key_text(TPM.key)
    assert shell("attest", "node.json", *options, "--pin", "node.pub") == 2, "a key is never replaced"
    assert shell("attest", "node.json", *options, "--key", "node.pub", "--json") == 0
    assert json.loads(shell.out)["ok"] is True
    write(Path("other.json"), Tpm().evidence(sound(), version="1.2"))
    assert shell("attest", "other.json", *options, "--key", "node.pub", "--json") == 1
    assert [one["name"] for one in json.loads(shell.out)["lines"] if not one["ok"]] == ["attestation key"]
    write(Path("odd.json"), TPM.evidence(sound(loader="99" * 32), version="1.2"))
    assert shell("attest", "odd.json", *options, "--pin", "odd.pub") == 1
    assert "1 of 13 do NOT hold" in shell.out
    assert not Path("odd.pub").exists(), "what does not hold is not pinned"


def write(path: Path, evidence: Evidence) -> None:
    parts = {name: base64.b64encode(getattr(evidence, name)).decode() for name in ("attest", "signature", "key", "log")}
    path.write_text(json.dumps({"format": 1, "product": evidence.product, "version": evidence.version, **parts}))
