# SPDX-License-Identifier: Apache-2.0
"""What is asked for in vain is found in the file that asks for it; a name on the command line is checked too."""

from __future__ import annotations

import pytest
from workshop import Workshop

from zaffre.definition import Architecture, located, place_of
from zaffre.errors import DefinitionError, WorldError

PLACES = [
    ("kernel.modules[1]", "images/host.toml: kernel.modules[1]"),
    ("kernel.modules[2]", "profiles/net.toml: kernel.modules[0]"),
    ("disk.root", "images/host.toml: disk.root"),
    ("disk.esp", "images/more.toml: disk.esp"),  # no file says it: it would go in the image's own
    ('files.owners."/etc/x"', 'images/more.toml: files.owners."/etc/x"'),
    ("kernel.modules", "images/host.toml: kernel.modules"),
    (None, "images/more.toml"),
    ("/some/path", "/some/path"),
    ("images/other.toml: disk.root", "images/other.toml: disk.root"),
    ("zaffre.toml: tools.packages", "zaffre.toml: tools.packages"),
]


@pytest.fixture
def heir(workshop: Workshop) -> Workshop:
    workshop.write("files/etc/x", "")
    workshop.write("profiles/net.toml", '[kernel]\nmodules = ["vxlan"]')
    workshop.write(
        "images/more.toml",
        'extends = "host"\nprofiles = ["net"]\n[files]\ntrees = ["files"]\nowners = { "/etc/x" = "root:root:0644" }',
    )
    return workshop


@pytest.mark.parametrize(("key", "place"), PLACES)
def test_a_key_is_placed_in_the_file_that_says_it(heir: Workshop, key: str | None, place: str) -> None:
    assert place_of(heir.load(), "more", key) == place


def test_errors_are_placed_on_their_way_out(heir: Workshop) -> None:
    distribution = heir.load()
    with pytest.raises(DefinitionError) as caught, located(distribution, "more"):
        raise DefinitionError("no such module", where="kernel.modules[2]")
    assert str(caught.value) == "profiles/net.toml: kernel.modules[0]: no such module"
    with pytest.raises(WorldError) as other, located(distribution, "more"):
        raise WorldError("the network is down", where="kernel.modules[2]")
    assert other.value.where == "kernel.modules[2]"


def test_architectures_of_the_command_line(workshop: Workshop) -> None:
    distribution = workshop.load()
    assert distribution.architecture(None) is Architecture.AMD64
    assert distribution.architecture("amd64") is Architecture.AMD64
    with pytest.raises(DefinitionError, match="there is no architecture 'adm64'") as caught:
        distribution.architecture("adm64")
    assert caught.value.resolution == "did you mean 'amd64'?"
    with pytest.raises(DefinitionError) as caught:
        distribution.architecture("riscv64")
    assert caught.value.details == "architectures of the upstreams: amd64"
