# SPDX-License-Identifier: Apache-2.0
"""The forms that an image has, and an image for WSL that extends a server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from workshop import Workshop

from zaffre.definition import FORMS_OF, Form, Kind, digest, explain, json_schema

Broken = Callable[[dict[str, str]], list[str]]

SERVER = """
kind = "server"
packages = ["systemd", "cloud-init"]
forms = ["qcow2", "tar"]
profiles = ["big"]
[kernel]
package = "linux-image-{arch}"
[initrd]
modules = ["ext4"]
[disk]
esp = "64M"
[sysctl]
"kernel.kptr_restrict" = 2
[server]
channel = "stable"
"""
BIG = '[disk]\nroot = "8G"\n'
WSL = 'kind = "wsl"\nextends = "server"\npackages = ["-cloud-init"]\nforms = ["-qcow2"]\n'


def test_forms_are_inherited_and_taken_away(workshop: Workshop) -> None:
    workshop.write("images/host.toml", 'kind = "host"\nforms = ["qcow2", "vhd"]\n[kernel]\npackage = "linux"\n')
    workshop.write("images/heir.toml", 'extends = "host"\nforms = ["-vhd", "raw.zst", "tar"]\n')
    assert workshop.load().image("heir").forms == (Form.QCOW2, Form.RAW_ZST, Form.TAR)
    before = workshop.load()
    workshop.write("images/heir.toml", 'extends = "host"\nforms = ["-vhd", "raw.zst"]\n')
    after = workshop.load()
    assert digest(before, before.image("heir")) != digest(after, after.image("heir"))


def test_a_form_that_the_kind_has_not_got_is_told(broken: Broken) -> None:
    host = 'kind = "host"\n[kernel]\npackage = "linux"\n'
    assert broken({"images/host.toml": host.replace("\n[", '\nforms = ["vdi"]\n[', 1)}) == [
        (
            'images/host.toml: forms[0]: must be one of "raw", "raw.zst", "qcow2", "vhd", "vhdx", "vmdk", "tar",'
            " \"tar.zst\" (did you mean 'vhd'?)"
        )
    ]
    assert broken({"images/host.toml": host, "images/a.toml": 'kind = "sysext"\nbase = "host"\nforms = ["tar"]\n'}) == [
        "images/a.toml: forms[0]: a sysext has no form 'tar' (a sysext is what its build gives, and nothing else)"
    ]
    wsl = 'kind = "wsl"\nforms = ["tar", "vhd"]\n'
    assert broken({"images/a.toml": wsl}) == [
        "images/a.toml: forms[1]: a wsl has no form 'vhd' (a wsl can be tar, tar.zst)"
    ]


def test_every_kind_has_its_forms_and_every_form_a_kind() -> None:
    assert set(FORMS_OF) == set(Kind)
    assert {form for forms in FORMS_OF.values() for form in forms} == set(Form)
    pattern = json_schema()["$defs"]["ImageFile"]["properties"]["forms"]["items"]["pattern"]
    assert pattern.startswith("^-?")
    assert all(str(form) in pattern for form in Form)


@pytest.fixture
def family(workshop: Workshop) -> Workshop:
    workshop.write("profiles/big.toml", BIG)
    workshop.write("images/server.toml", SERVER)
    workshop.write("images/wsl.toml", WSL)
    workshop.write(
        "zaffre.toml",
        (workshop.root / "zaffre.toml").read_text() + '[repository]\nurl = "https://packages.example"\n',
    )
    return workshop


def test_an_image_takes_from_another_kind_only_what_it_has_a_use_for(family: Workshop) -> None:
    distribution = family.load()
    wsl = distribution.image("wsl")
    assert wsl.packages == ("systemd",)
    assert wsl.kernel.package is None
    assert wsl.requested_packages(distribution.defaults.architecture) == ("systemd",)
    assert wsl.initrd.modules == ()
    assert wsl.disk == type(wsl.disk)(), "the server's profile too"
    assert dict(wsl.sysctl) == {"kernel.kptr_restrict": 2}
    assert wsl.server.channel == "stable"
    assert wsl.forms == (Form.TAR,)
    said = {one.key: one.origin for one in explain(distribution, "wsl")}
    assert said["server.channel"] == "images/server.toml"
    assert not [key for key in said if key.startswith(("kernel.", "disk."))]
    assert distribution.image("server").disk.root == 8 << 30


def test_what_it_says_itself_and_has_no_use_for_is_told(family: Workshop) -> None:
    family.write("images/wsl.toml", f'{WSL}[disk]\nroot = "1G"\n')
    assert family.problems() == ["images/wsl.toml: disk: is not for a wsl"]
    family.write("images/wsl.toml", f'{WSL}profiles = ["big"]\n')
    assert family.problems() == ["profiles/big.toml: disk: is not for a wsl"]
