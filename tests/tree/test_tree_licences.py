# SPDX-License-Identifier: Apache-2.0
"""Licences in SPDX's language: of Debian's copyright files, and of RPM's tags."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from zaffre.tree.deb.copyright import licence_of
from zaffre.tree.licencenames import spdx_names
from zaffre.tree.rpm.declared import licence_of as rpm_licence_of

FORMAT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"


def declared(*licences: str) -> str:
    return FORMAT + "".join(
        f"\nFiles: {number}\nCopyright: x\nLicense: {one}\n text\n" for number, one in enumerate(licences)
    )


@pytest.mark.parametrize(
    ("licences", "wanted"),
    [
        (("GPL-2+",), "GPL-2.0-or-later"),
        (("Expat", "GPL-2", "expat"), "GPL-2.0-only AND MIT"),
        (("GPL-3.0-only", "LGPL-2.1-or-later"), "GPL-3.0-only AND LGPL-2.1-or-later"),
        (("GPL-2+ and Expat or BSD-3-clause",), "(GPL-2.0-or-later AND MIT) OR BSD-3-Clause"),
        (("GPL-2+ or Artistic-2.0, and BSD-3-clause",), "(Artistic-2.0 OR GPL-2.0-or-later) AND BSD-3-Clause"),
        (("Expat or GPL-2+", "ISC"), "(GPL-2.0-or-later OR MIT) AND ISC"),
        (("BSD-4-clause-XY and ISC", "ISC"), "ISC AND LicenseRef-Debian-BSD-4-clause-XY"),
        (("GPL-2+ with OpenSSL exception",), "LicenseRef-Debian-GPL-2-with-OpenSSL-exception"),
        (("GPL",), "LicenseRef-Debian-GPL"),
        (("GPL-7+",), "LicenseRef-Debian-GPL-7"),
    ],
)
def test_what_copyright_files_name(licences: tuple[str, ...], wanted: str) -> None:
    found = licence_of(declared(*licences))
    assert found.expression is not None
    assert sorted(found.expression.split(" ")) == sorted(wanted.split(" "))
    assert found.expression == licence_of(declared(*reversed(licences))).expression


def test_a_reference_keeps_the_name_that_the_package_uses() -> None:
    assert licence_of(declared("public domain, sort of")).references == (
        ("LicenseRef-Debian-public-domain-sort-of", "public domain, sort of"),
    )


@pytest.mark.parametrize(
    "text",
    ["", "This package was debianized by …\nLicense: GPL-2+\n", "Files: *\nLicense: MIT\n", FORMAT, "\0\1", " x\n"],
)
def test_what_cannot_be_read_by_a_machine_is_not_guessed(text: str) -> None:
    assert licence_of(text).expression is None


def test_every_name_is_on_the_list_of_spdx() -> None:
    schema = json.loads((files("lib4sbom") / "schemas/cyclonedx/spdx.schema.json").read_text(encoding="utf-8"))
    assert set(spdx_names()) <= set(schema["enum"])


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("MIT", "MIT"),
        ("(GPL-2.0-or-later OR MIT) AND ISC", "(GPL-2.0-or-later OR MIT) AND ISC"),
        ("GPLv2+ and MIT", "LicenseRef-RPM-GPLv2-and-MIT"),
        ("", None),
    ],
)
def test_what_rpm_tags_say(tag: str, wanted: str | None) -> None:
    assert rpm_licence_of(tag).expression == wanted
