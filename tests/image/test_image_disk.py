# SPDX-License-Identifier: Apache-2.0
"""The partitions of a host's disk, as text for systemd-repart."""

from __future__ import annotations

import dataclasses

import pytest

from zaffre.errors import DefinitionError
from zaffre.image.disk import DiskPlan, repart_definitions, require_fit
from zaffre.slots import root_uuids

HASH = "00112233445566778899aabbccddeeff" + "ffeeddccbbaa99887766554433221100"
PLAN = DiskPlan("amd64", "container-host", "1.20261122.1", HASH, 256 << 20, 192 << 20, 8 << 20, 512 << 20)


def test_partition_uuids_are_the_halves_of_the_root_hash() -> None:
    data, verity = root_uuids(HASH)
    assert str(data) == "00112233-4455-6677-8899-aabbccddeeff"
    assert str(verity) == "ffeeddcc-bbaa-9988-7766-554433221100"
    definitions = repart_definitions(PLAN)
    assert f"UUID={data}" in definitions["30-root-a.conf"]
    assert f"UUID={verity}" in definitions["20-verity-a.conf"]


def test_the_twin_is_as_large_and_free() -> None:
    definitions = repart_definitions(PLAN)
    for a, b in (("20-verity-a.conf", "40-verity-b.conf"), ("30-root-a.conf", "50-root-b.conf")):
        sizes = [[line for line in definitions[name].splitlines() if line.startswith("Size")] for name in (a, b)]
        assert sizes[0] == sizes[1]
        assert "Label=_empty" in definitions[b].splitlines()


def test_a_label_has_the_whole_version_or_is_refused() -> None:
    definitions = repart_definitions(PLAN)
    for name in ("20-verity-a.conf", "30-root-a.conf"):
        assert "Label=container-host_1.20261122.1" in definitions[name].splitlines()
    long = dataclasses.replace(PLAN, name="an-image-with-a-very-long-name")
    with pytest.raises(DefinitionError, match="GPT has room for 36"):
        repart_definitions(long)


def test_a_root_that_does_not_fit_names_the_key() -> None:
    with pytest.raises(DefinitionError) as caught:
        require_fit(PLAN, root_size=(192 << 20) + 1, verity_size=1, esp_size=1)
    assert caught.value.where == "disk.root"
    assert "raise disk.root" in (caught.value.resolution or "")
