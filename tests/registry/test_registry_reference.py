# SPDX-License-Identifier: Apache-2.0
"""Names of images in registries: what is one, and what is said of what is none."""

from __future__ import annotations

import pytest

from zaffre.errors import DefinitionError
from zaffre.registry import parse_reference


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("registry.example/base", ("registry.example", "base", "7")),
        ("localhost/base:1", ("localhost", "base", "1")),
        ("127.0.0.1:5000/team/base_x:V1.2-a", ("127.0.0.1:5000", "team/base_x", "V1.2-a")),
        ("[::1]:5000/base", ("[::1]:5000", "base", "7")),
    ],
)
def test_a_name_has_three_parts(text: str, parts: tuple[str, str, str]) -> None:
    found = parse_reference(text, tag="7")
    assert (found.registry, found.name, found.tag) == parts
    assert str(found) == f"{parts[0]}/{parts[1]}:{parts[2]}"


@pytest.mark.parametrize(
    ("text", "brief"),
    [
        ("base", "not the host of a registry"),
        ("team/base", "not the host of a registry"),
        ("https://registry.example/base", "is a URL"),
        ("registry.example/Base", "not the name of an image"),
        ("registry.example/", "not the name of an image"),
        ("registry.example/a//b", "not the name of an image"),
        ("registry.example/base:", "not a tag"),
        ("registry.example/base:-x", "not a tag"),
        ("registry.example/base:a:b", "not a tag"),
        ("registry.example/base@sha256:00", "a digest is not chosen"),
        ("user:secret@registry.example/base", "a digest is not chosen"),
        ("registry.example:x/base", "not the host of a registry"),
        ("registry.example/--dest-creds", "not the name of an image"),
    ],
)
def test_what_is_no_name_is_refused(text: str, brief: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        parse_reference(text, tag="7")
    assert brief in raised.value.brief
    assert raised.value.resolution
