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


def test_what_machines_an_image_is_for(workshop: Workshop) -> None:
    upstream = (workshop.root / "upstreams/debian.toml").read_text()
    workshop.write("upstreams/debian.toml", upstream.replace('["amd64"]', '["amd64", "arm64"]'))
    workshop.write("images/both.toml", 'extends = "host"\narchitectures = ["arm64", "amd64"]\n')
    workshop.write("images/arm.toml", 'extends = "both"\narchitectures = ["-amd64"]\n')
    workshop.write("images/probes.toml", 'kind = "sysext"\nbase = "arm"\n')
    workshop.write("images/site.toml", 'kind = "confext"\nbase = "both"\narchitectures = ["arm64"]\n')
    distribution = workshop.load()
    amd64, arm64 = Architecture.AMD64, Architecture.ARM64
    its = {name: distribution.architectures_of(image) for name, image in distribution.images.items()}
    assert (its["both"], its["arm"], its["probes"], its["site"]) == ((arm64, amd64), (arm64,), (arm64,), (arm64,))
    assert its["host"] == (amd64,)
    assert distribution.architecture_for(distribution.image("both"), None) is amd64, "the default, if it is for that"
    assert distribution.architecture_for(distribution.image("arm"), None) is arm64
    assert distribution.architecture_for(distribution.image("arm"), "amd64") is amd64


def test_machines_that_an_image_cannot_be_for(workshop: Workshop) -> None:
    workshop.write("images/both.toml", 'extends = "host"\narchitectures = ["amd64", "arm64"]\n')
    with pytest.raises(DefinitionError) as caught:
        workshop.load()
    assert "images/both.toml: architectures[1]: upstream 'debian' has no arm64" in str(caught.value)
    assert caught.value.resolution == "it has amd64"
    upstream = (workshop.root / "upstreams/debian.toml").read_text()
    workshop.write("upstreams/debian.toml", upstream.replace('["amd64"]', '["amd64", "arm64"]'))
    workshop.write("images/both.toml", 'extends = "host"\narchitectures = ["amd64"]\n')
    workshop.write("images/site.toml", 'kind = "confext"\nbase = "both"\narchitectures = ["arm64"]\n')
    with pytest.raises(DefinitionError) as caught:
        workshop.load()
    assert "images/site.toml: architectures[0]: its base 'both' is not for arm64" in str(caught.value)


def test_the_serial_console_of_each_machine(workshop: Workshop) -> None:
    workshop.write("images/wired.toml", 'extends = "host"\n[kernel]\ncommand_line = ["quiet", "console={serial}"]\n')
    image = workshop.load().image("wired")
    assert image.kernel_arguments(Architecture.ARM64) == ("quiet", "console=ttyAMA0")
    assert image.kernel_arguments(Architecture.AMD64) == ("quiet", "console=ttyS0")
