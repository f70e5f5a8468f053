# SPDX-License-Identifier: Apache-2.0
"""XML from strangers: what it says, and how much of it."""

from __future__ import annotations

import pytest

from zaffre.errors import IntegrityError
from zaffre.upstream.rpm.repomd import parse_repomd
from zaffre.upstream.rpm.updateinfo import parse_advisories
from zaffre.upstream.rpm.xml import HostileXmlError, elements

DIGEST = "0" * 64


def test_texts_are_whole_though_they_come_in_pieces() -> None:
    words = "a &amp; b\n" * 50_000
    (found,) = elements(f"<r><x>{words}<y>in</y>{words}</x></r>".encode(), depth=1)
    assert found.text == "a & b\n" * 100_000
    assert found.said("y") == "in"


@pytest.mark.parametrize(
    "inside",
    [
        "x" * (17 << 20),
        "<y>" + "x" * (9 << 20) + "</y>" + "x" * (9 << 20),
        f'<y a="{"x" * (17 << 20)}"/>',
        "<y/>" * 500_001,
    ],
)
def test_an_element_that_is_larger_than_any_honest_one(inside: str) -> None:
    with pytest.raises(HostileXmlError, match="an element has more than"):
        parse_advisories(f"<updates><update>{inside}</update></updates>".encode())


def test_many_elements_of_some_size_are_honest() -> None:
    one = f"<update><id>T</id><description>{'x' * (1 << 20)}</description></update>"
    assert len(parse_advisories(f"<updates>{one * 20}</updates>".encode())) == 20


@pytest.mark.parametrize("kind", ["primary", "filelists"])
def test_packed_metadata_needs_a_digest_of_what_it_unpacks_to(kind: str) -> None:
    """libsolv reads it, so what an unpacker makes of it is held against what was published."""

    def repomd(path: str, opened: str = "") -> bytes:
        return (
            f'<repomd><revision>1700000000</revision><data type="{kind}"><checksum type="sha256">{DIGEST}</checksum>'
            f'{opened}<location href="{path}"/><size>1</size></data></repomd>'
        ).encode()

    with pytest.raises(IntegrityError) as caught:
        parse_repomd(repomd("repodata/x.xml.zst"), where="here")
    assert "no SHA-256 of what it unpacks to" in (caught.value.details or "")
    stated = f'<open-checksum type="sha256">{DIGEST}</open-checksum>'
    for sound in (repomd("repodata/x.xml.zst", stated), repomd("repodata/x.xml")):
        assert kind in parse_repomd(sound, where="here").files
