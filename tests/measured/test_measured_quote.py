# SPDX-License-Identifier: Apache-2.0
"""A node's quote: one that holds, and every way in which one does not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from support.measured import NONCE, Tpm, log_of, prediction, sound
from zaffre.errors import IntegrityError
from zaffre.measured.attest import attest
from zaffre.measured.quote import MAX_BUNDLE, Evidence, attestation_key, key_text, read_bundle, read_quote, signed_by

TPM = Tpm()
OTHER = Tpm()
GOOD = TPM.evidence(sound())


def bad(evidence: Evidence, *, pinned: bytes | None = None) -> set[str]:
    """The lines that do not hold."""
    found = attest(evidence, nonce=NONCE, pinned=pinned, predictions=[prediction()])
    assert found.ok == all(line.ok for line in found.lines)
    return {line.name for line in found.lines if not line.ok}


def test_a_good_quote_holds() -> None:
    assert bad(GOOD, pinned=key_text(TPM.key)) == set()
    found = attest(GOOD, nonce=NONCE, pinned=None, predictions=[prediction()])
    assert found.booted is not None
    assert found.booted.version == "1.1"


SPOILT: dict[str, tuple[Callable[[], Evidence], str]] = {
    "another nonce": (lambda: TPM.evidence(sound(), nonce=bytes(16)), "nonce"),
    "no nonce": (lambda: TPM.evidence(sound(), nonce=b""), "nonce"),
    "another's signature": (lambda: replace(GOOD, signature=OTHER.sign(GOOD.attest)), "signature"),
    "a signature over something else": (lambda: replace(GOOD, signature=TPM.sign(b"x")), "signature"),
    "no signature": (lambda: replace(GOOD, signature=b""), "signature"),
    "a longer signature": (lambda: replace(GOOD, signature=GOOD.signature + b"\0"), "signature"),
    "another algorithm": (lambda: replace(GOOD, signature=b"\0\x14" + GOOD.signature[2:]), "signature"),
    "another's key": (lambda: OTHER.evidence(sound()), "attestation key"),
    "a swapped log": (lambda: replace(GOOD, log=log_of(sound(loader="99" * 32))), "quote"),
    "a shorter log": (lambda: replace(GOOD, log=log_of(sound()[:-1])), "quote"),
    "no log": (lambda: replace(GOOD, log=b""), "quote"),
    "fewer registers": (lambda: TPM.evidence(sound(), registers=(4, 7, 11, 12)), "quote"),
    "more registers": (lambda: TPM.evidence(sound(), registers=(0, 4, 7, 11, 12, 13)), "quote"),
    "a quote that was changed": (lambda: replace(GOOD, attest=GOOD.attest[:-1] + b"\0"), "signature"),
    "a quote that is cut off": (lambda: replace(GOOD, attest=GOOD.attest[:-1]), "quote"),
    "a longer quote": (lambda: replace(GOOD, attest=GOOD.attest + b"\0"), "quote"),
    "something else that was signed": (lambda: replace(GOOD, attest=b"\xffTCG\x80\x17" + GOOD.attest[6:]), "quote"),
    "a key that signs all": (lambda: Tpm(TPM.private, attributes=0x00040472).evidence(sound()), "quote"),
    "a key that came from outside": (lambda: Tpm(TPM.private, attributes=0x00050452).evidence(sound()), "quote"),
    "a key that can leave": (lambda: Tpm(TPM.private, attributes=0x00050460).evidence(sound()), "quote"),
    "a point that is on no curve": (lambda: replace(GOOD, key=GOOD.key[:-1] + b"\0"), "quote"),
    "a key with more behind it": (lambda: replace(GOOD, key=GOOD.key + b"\0"), "quote"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_quote_that_does_not_hold(name: str) -> None:
    make, line = SPOILT[name]
    assert line in bad(make(), pinned=key_text(TPM.key))


@pytest.mark.parametrize("part", ["attest", "signature", "key"])
def test_no_bit_can_be_changed_unseen(part: str) -> None:
    whole = getattr(GOOD, part)
    for at in range(len(whole)):
        changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        assert bad(replace(GOOD, **{part: changed}), pinned=key_text(TPM.key)), at


def test_parts_by_themselves() -> None:
    quoted = read_quote(GOOD.attest)
    assert quoted.nonce == NONCE
    assert quoted.registers == (4, 7, 11, 12, 13)
    assert not quoted.covers({4: "00" * 32})
    assert signed_by(GOOD)
    assert attestation_key(TPM.key).public_numbers() == TPM.private.public_key().public_numbers()


def bundle(**changed: object) -> bytes:
    parts = {name: base64.b64encode(getattr(GOOD, name)).decode() for name in ("attest", "signature", "key", "log")}
    return json.dumps({"format": 1, "product": "tiny-amd64", "version": "1.1", **parts, **changed}).encode()


def test_a_file_is_read_as_it_was_written() -> None:
    assert read_bundle(bundle(more="is ignored"), "node.json") == GOOD


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        bundle()[:-20],
        bundle(format=2),
        bundle(log=None),
        bundle(log="not base64!"),
        bundle(attest="A" * 5000),
        bundle(version="1" * 65),
        bytes(MAX_BUNDLE + 1),
    ],
    ids=["empty", "list", "cut", "format", "none", "base64", "long", "version", "oversize"],
)
def test_what_is_no_quote_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"no quote|larger"):
        read_bundle(data, "node.json")
