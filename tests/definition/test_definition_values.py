# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from zaffre.definition import Architecture, Disk, Image, Kernel, dotted, format_size
from zaffre.definition.image import Extract, Oci

BLOCKS = st.integers(1, 1 << 34)


@given(BLOCKS)
def test_a_size_is_read_as_it_is_written(blocks: int) -> None:
    size = blocks * 4096
    written = format_size(size)
    if int(written[:-1]) < 10**9:
        assert Disk.model_validate({"root": written}).root == size


@pytest.mark.parametrize(
    ("written", "size"), [("4K", 4096), ("96M", 96 << 20), ("1G", 1 << 30), ("2T", 2 << 40), ("1024K", 1 << 20)]
)
def test_sizes_are_powers_of_1024(written: str, size: int) -> None:
    assert Disk.model_validate({"esp": written}).esp == size


@pytest.mark.parametrize(
    "written", ["", "M", "0M", "-1M", "1.5G", "1 M", "1MB", "1m", "4097K", 4096, True, None, "9" * 30 + "G"]
)
def test_other_sizes_are_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        Disk.model_validate({"esp": written})


KEYS = st.lists(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters='"\\'), min_size=1), min_size=1
)


@given(KEYS)
def test_a_key_path_is_shown_as_toml_would_read_it(keys: list[str]) -> None:
    table: object = tomllib.loads(f"{dotted(tuple(keys))} = 1")
    for key in keys:
        table = table[key]  # type: ignore[index]
    assert table == 1


def test_an_index_is_in_brackets() -> None:
    assert dotted(("users", 0, "net.name")) == 'users[0]."net.name"'


def image(**values: object) -> Image:
    return Image.model_validate({"name": "a", "kind": "host", "upstream": "debian", **values})


def test_the_solver_is_asked_for_packages_kernel_and_what_files_are_taken_from() -> None:
    wanted = image(
        packages=["systemd", "containerd"],
        kernel={"package": "linux-image-cloud-{arch}"},
        extract=[{"package": "containerd", "paths": ["/usr/bin/ctr"]}],
        oci=[
            {
                "name": "probe",
                "ref": "acme.local/probe:1",
                "package": "busybox-static",
                "paths": ["/usr/bin/busybox"],
                "command": ["/usr/bin/busybox", "-x"],
            }
        ],
    )
    assert wanted.requested_packages(Architecture.ARM64) == (
        "busybox-static",
        "containerd",
        "linux-image-cloud-arm64",
        "systemd",
    )
    assert wanted.extract == (Extract(package="containerd", paths=("/usr/bin/ctr",)),)
    assert isinstance(wanted.oci[0], Oci)


def test_models_never_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Kernel().load = ("x",)  # type: ignore[misc]
