# SPDX-License-Identifier: Apache-2.0
"""What a user can ask for wrongly, with the words that come back: what, where, and what next.

`pytest -s` shows each message as it stands on a screen.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from support.own import edit, variant
from support.program import Place, leftovers

IMAGE = "container-host"
HOST = f"images/{IMAGE}.toml"
BASE = "profiles/immutable.toml"


@pytest.fixture
def place(own: Place, tmp_path: Path) -> Place:
    """A definition to spoil, on the store where it has been built unspoiled."""
    own.build(IMAGE)
    return variant(own, tmp_path / "variant")


def refused(place: Place, *words: str, code: int = 2) -> str:
    """What is said; nothing is left, and on standard output the same stands as JSON."""
    done = place.run(*words, code=code)
    assert "  what next: " in done.said
    assert list(leftovers(place)) == []
    assert not place.out.exists() or not list(place.out.iterdir())
    return done.said


def build_refused(place: Place, *options: str, image: str = IMAGE, code: int = 2) -> str:
    return refused(place, "build", image, "--out", str(place.out), *options, code=code)


def lock_refused(place: Place) -> str:
    """The lock stays as it is."""
    lock = place.distro / "zaffre.lock"
    before = lock.read_bytes()
    said = refused(place, "lock")
    assert lock.read_bytes() == before
    return said


def set_root(place: Place, lines: str) -> None:
    path = place.distro / HOST
    text, number = re.subn('(?m)^root = ".*"$', lines, path.read_text())
    assert number == 1
    path.write_text(text)


# What is typed


def test_names_on_the_command_line(own: Place, tmp_path: Path) -> None:
    place = own.at(out=tmp_path / "out")
    said = build_refused(place, image="container-hots")
    assert said.startswith("error: there is no image 'container-hots'\n")
    assert "did you mean 'container-host'?" in said
    said = build_refused(place, "--arch", "amd46")
    assert "error: there is no architecture 'amd46'\n  where: --arch\n" in said
    assert "did you mean 'amd64'?" in said
    assert "architectures of the upstreams: amd64, arm64" in refused(place, "lock", "--arch", "riscv64")
    said = build_refused(place, "--profile", "nonsense")
    assert "'nonsense' is not one of dev, release" in said
    said = build_refused(place.at(distro=tmp_path))
    assert "there is no zaffre.toml here" in said
    assert "zaffre init" in said
    said = refused(place, "lock", "--update", "sysstemd")
    assert "the lock has no package, no source and no component 'sysstemd'" in said
    assert "did you mean 'systemd'" in said
    said = refused(place, "verify", str(tmp_path))
    assert "this is not a build" in said


def test_an_architecture_that_is_not_locked(place: Place) -> None:
    edit(place.distro / HOST, 'architectures = ["amd64", "arm64"]', 'architectures = ["amd64"]')
    place.run("lock")
    said = build_refused(place, "--arch", "arm64", code=1)
    assert "error: the lock has no packages for 'container-host' on arm64\n" in said
    assert f'say in {HOST} that it is for it, architectures = ["arm64"], and run `zaffre lock`' in said


def test_no_keys(own: Place, tmp_path: Path) -> None:
    said = build_refused(own.at(keys=tmp_path / "none", out=tmp_path / "out"))
    assert f"error: there are no keys here\n  where: {tmp_path}/none\n" in said
    assert "zaffre keys init" in said


def test_places_that_cannot_be_used(own: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = own.at(out=tmp_path / "nothing")
    assert f"where: {tmp_path}/file" in build_refused(place, "--out", str(tmp_path / "file"), code=3)
    said = build_refused(place.at(store=tmp_path / "file/store"), code=3)
    assert "error: the store cannot be made: Not a directory" in said
    assert "ZAFFRE_STORE" in said


def test_an_error_is_json_where_the_result_would_be(own: Place) -> None:
    for words, code in (
        (("build", "nothing"), 2),
        (("build", IMAGE, "--profile", "nonsense"), 2),
        (("show", "nothing"), 2),
        (("lock", "--arch", "nothing"), 2),
    ):
        done = own.run(*words, "--json", code=code)
        error = done.json["error"]
        assert error["exit_code"] == code
        assert f"error: {error['brief']}\n" in done.err


# What is written


def test_malformed_toml(place: Place) -> None:
    path = place.distro / HOST
    path.write_text(path.read_text() + "= 1")
    said = build_refused(place)
    assert "error: this is not TOML: " in said
    assert f"where: {HOST}:{len(path.read_text().splitlines())}:1\n" in said


def test_all_that_is_wrong_at_once(place: Place) -> None:
    set_root(place, 'root = "lots"\nrot = "1M"')
    edit(place.distro / BASE, "provides =", "providez =")
    said = build_refused(place)
    assert "error: the definition has 3 errors\n" in said
    assert f"{BASE}: providez: unknown key (did you mean 'provides'?)" in said
    assert f"{HOST}: disk.rot: unknown key (did you mean 'root'?)" in said
    assert f"{HOST}: disk.root: 'lots' is not a size" in said


def test_a_stale_lock(place: Place) -> None:
    edit(place.distro / HOST, '"conntrack",', '"conntrack", "ethtool",')
    said = build_refused(place, code=1)
    assert "error: the lock does not answer the definition\n" in said
    assert "the definition asks for ethtool, which the lock does not have" in said
    assert "run `zaffre lock`" in said
    assert "ethtool" in place.run("lock", "--check", code=1).out
    (place.distro / "zaffre.lock").unlink()
    assert "error: there is no lock yet\n" in build_refused(place, code=1)


# What the archive is asked for


def test_a_package_that_does_not_exist(place: Place) -> None:
    edit(place.distro / HOST, '"conntrack",', '"conntrak",')
    said = lock_refused(place)
    assert "error: 'conntrak' is in no suite of the upstream for amd64\n" in said
    assert "did you mean 'conntrack'" in said


def test_packages_that_exclude_each_other(place: Place) -> None:
    edit(place.distro / HOST, '"conntrack",', '"conntrack", "postfix", "exim4-daemon-light",')
    said = lock_refused(place)
    assert "error: the packages of 'container-host' cannot be installed together on amd64\n" in said
    assert "postfix and mail-transport-agent exclude each other" in said
    assert "apt's own words:" in said


def test_no_mirror(own: Place, unmet: Callable[[str], NoReturn], tmp_path: Path) -> None:
    """The host's own sources are covered, and nothing else names one."""
    bwrap = shutil.which("bwrap") or unmet("bubblewrap is not installed")
    environment = {name: value for name, value in os.environ.items() if name != "ZAFFRE_MIRROR"}
    place = own.at(
        through=[bwrap, "--dev-bind", "/", "/", "--tmpfs", "/etc/apt"],
        environment={**environment, "XDG_CONFIG_HOME": str(tmp_path)},
    )
    said = place.run("lock", "--update", code=3).said
    assert "error: no mirror is known for the archive 'debian'\n" in said
    for way in ("--mirror", "ZAFFRE_MIRROR", "mirrors.toml", "sources.list"):
        assert way in said


def test_a_mirror_that_is_not_there(own: Place) -> None:
    done = own.run("lock", "--update", "--mirror", "http://127.0.0.1:9/debian", code=3)
    assert "error: no mirror of 'debian' answers as it should\n" in done.said
    assert "http://127.0.0.1:9/debian (from --mirror): no connection" in done.said
    assert "--mirror debian=URL" in done.said


# What shows only when the image is made


def test_a_setuid_file_that_is_not_declared(place: Place) -> None:
    edit(place.distro / BASE, '  "/usr/bin/su",\n', "")
    said = build_refused(place)
    assert "error: 1 file(s) with setuid, setgid or capabilities are not declared\n" in said
    assert f"where: {BASE}: setuid\n" in said
    assert "/usr/bin/su (util-linux)" in said
    assert '`[setuid] strip = ["/usr/bin/su"]`, or to `allow`' in said


def test_a_new_package_with_a_setuid_file(place: Place) -> None:
    """It is found when the package is locked: its scripts have to run once to tell what users they make."""
    edit(place.distro / HOST, '"conntrack",', '"conntrack", "sudo",')
    said = lock_refused(place)
    assert f"where: {BASE}: setuid\n" in said
    assert "/usr/bin/sudo (sudo)" in said


def test_a_root_that_does_not_fit_its_slot(place: Place) -> None:
    set_root(place, 'root = "40M"')
    said = build_refused(place)
    assert "MB do not fit the partition of 41.9 MB\n" in said
    assert f"where: {HOST}: disk.root\n" in said
    assert "raise disk.root, or make the image smaller: `zaffre inventory` shows" in said


VAIN = [
    (
        HOST, '[files]\ntrees = ["files/container-host"]',
        '[files]\ntrees = ["files/container-host"]\nowners = { "/etc/containerd/config.toml" = "nobdy:root:0644" }',
        "the image has no user nobdy", f'{HOST}: files.owners."/etc/containerd/config.toml"', "add it to `users`",
    ),
    (
        BASE, '"/usr/bin/kmod",', '"/usr/bin/kmood",',
        "the program /usr/bin/kmood is not in the tree", f"{BASE}: initrd.programs[N]", "did you mean kmod",
    ),
    (
        BASE, '"/etc/mke2fs.conf",', '"/etc/mke3fs.conf",',
        "nothing in the tree matches /etc/mke3fs.conf", f"{BASE}: initrd.files[N]", "add the package that has it",
    ),
    (
        "profiles/kubernetes.toml", '"bridge",', '"brigde",',
        "has no module brigde", "profiles/kubernetes.toml: kernel.modules[N]", "did you mean bridge",
    ),
    (
        HOST, '"containerd.service"', '"containerdd.service"',
        "the image has no unit containerdd.service", f"{HOST}: units.enable[N]", "did you mean containerd.service",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", VAIN, ids=["owner", "program", "file", "module", "unit"])
def test_what_is_asked_for_in_vain(place: Place, case: tuple[str, str, str, str, str, str]) -> None:
    file, old, new, brief, where, mend = case
    edit(place.distro / file, old, new)
    said = build_refused(place)
    assert brief in said.splitlines()[0]
    assert f"  where: {where}\n" in re.sub(r"\[\d+\]", "[N]", said)
    assert f"  what next: {mend}" in said


def test_a_file_that_a_package_does_not_have(place: Place) -> None:
    edit(place.distro / "images/check.toml", '"/usr/bin/ctr"', '"/usr/bin/ctrr"')
    said = build_refused(place, image="check")
    assert "error: the package containerd-client has no file /usr/bin/ctrr\n" in said
    assert "  where: images/check.toml: extract[0].paths[0]\n" in said
    assert "/usr/bin/ctr" in said.partition("what next:")[2]


def test_what_failed_can_be_mended_and_built(place: Place) -> None:
    """No failure leaves anything that stands in the way of the next attempt."""
    set_root(place, 'root = "40M"')
    build_refused(place)
    set_root(place, 'root = "200M"')
    folder = place.build(IMAGE)
    assert json.loads((folder / "manifest.json").read_bytes())["image"] == IMAGE
