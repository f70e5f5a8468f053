# SPDX-License-Identifier: Apache-2.0
"""What a host is updated by, the contract that it is held to, and each way to break that."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from zaffre.definition import Image, Kind
from zaffre.definition.image import Update
from zaffre.errors import DefinitionError
from zaffre.image.contract import (
    loader_breaches,
    require_contract,
    slot_breaches,
    tree_breaches,
    variable_breaches,
)
from zaffre.image.settings import Settings, unit_settings
from zaffre.image.system import LOADER_CONF
from zaffre.image.updates import update_files
from zaffre.slots import entry_name, incoming_names
from zaffre.tree.overlay import lay_files

UNITS = "usr/lib/systemd/system"
HASH = "00112233445566778899aabbccddeeff" + "ffeeddccbbaa99887766554433221100"
BLESS = "[Unit]\nRequires=boot-complete.target\n[Service]\nExecStart=/usr/lib/systemd/systemd-bless-boot good\n"


def host(tries: int = 3) -> Image:
    return Image(name="host", kind=Kind.HOST, upstream="debian", update=Update(tries=tries))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with the files of an update, and those that packages bring."""
    root = tmp_path / "root"
    root.mkdir()
    names = ("lib/systemd/systemd-sysupdate", "lib/systemd/systemd-import", "lib/systemd/systemd-bless-boot")
    packaged = {f"usr/{name}": "" for name in (*names, "lib/systemd/systemd-fsck", "sbin/fsck", "sbin/fsck.vfat")}
    lay_files(root, {**packaged, f"{UNITS}/systemd-bless-boot.service": BLESS, **update_files(host(), "mine-host")})
    return root


def edit(path: str, pattern: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        file = root / path
        changed, count = re.subn(pattern, text, file.read_text(), flags=re.MULTILINE)
        assert count, (path, pattern)
        file.write_text(changed)

    return change


def remove(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def rename(path: str, name: str) -> Callable[[Path], object]:
    return lambda root: (root / path).rename(root / path.replace(Path(path).name, name))


def lay(path: str, text: str) -> Callable[[Path], None]:
    return lambda root: lay_files(root, {path: text})


TRANSFERS = "usr/lib/sysupdate.d"


def test_what_is_generated_holds(tree: Path) -> None:
    assert tuple(tree_breaches(tree)) == ()
    assert tuple(loader_breaches(LOADER_CONF)) == ()


@pytest.mark.parametrize(
    ("break_it", "rule"),
    [
        (rename(f"{TRANSFERS}/90-uki.transfer", "05-uki.transfer"), "kernel-last"),
        (remove(f"{TRANSFERS}/20-root.transfer"), "transfers"),
        (lay("etc/sysupdate.d/20-root.transfer", "->/dev/null"), "transfers"),
        (edit(f"{TRANSFERS}/20-root.transfer", "^ProtectVersion=.*$", ""), "protect-version"),
        (edit(f"{TRANSFERS}/90-uki.transfer", "^InstancesMax=2$", "InstancesMax=3"), "two-versions"),
        (edit(f"{TRANSFERS}/20-root.transfer", "^Type=regular-file$", "Type=url-file"), "local-source"),
        (edit(f"{TRANSFERS}/90-uki.transfer", "^Path=/var/.*$", "Path=/tmp"), "local-source"),
        (edit(f"{TRANSFERS}/90-uki.transfer", "^TriesLeft=3$", ""), "counted"),
        (edit(f"{TRANSFERS}/90-uki.transfer", r"^MatchPattern=mine.*$", "MatchPattern=mine-host_@v.efi"), "counted"),
        (edit(f"{TRANSFERS}/10-root-verity.transfer", "_@u", ""), "identified"),
        (edit(f"{TRANSFERS}/20-root.transfer", "^Path=/$", "Path=auto"), "disk-of-root"),
        (edit(f"{UNITS}/zaffre-health.service", "^Before=boot-complete.target$", ""), "health-order"),
        (edit(f"{UNITS}/zaffre-health.service", "^TimeoutStartSec=.*$", ""), "health-limit"),
        (lay(f"{UNITS}/zaffre-health.service.d/x.conf", "[Service]\nTimeoutStartSec=infinity\n"), "health-limit"),
        (edit(f"{UNITS}/zaffre-trial.service", "^FailureAction=reboot$", ""), "health-reboots"),
        (lay("etc/systemd/system/zaffre-trial.service.d/x.conf", "[Unit]\nFailureAction=none\n"), "health-reboots"),
        (lay("etc/systemd/system/zaffre-trial.service", "->/dev/null"), "health-reboots"),
        (lay("etc/systemd/system/zaffre-health.service", "->/dev/null"), "health"),
        (remove(f"{UNITS}/boot-complete.target.wants/systemd-bless-boot.service"), "blessed"),
        (remove(f"{UNITS}/systemd-bless-boot.service"), "blessed"),
        (remove("usr/lib/systemd/systemd-sysupdate"), "program"),
        (remove("usr/sbin/fsck.vfat"), "program"),
        (edit(f"{UNITS}/boot.mount", "^Wants=systemd-fsck.*$", ""), "esp-mended"),
        (edit(f"{UNITS}/boot.mount", "^After=systemd-fsck.*$", ""), "esp-mended"),
        (lay("etc/systemd/system/boot.mount", "->/dev/null"), "esp-mended"),
    ],
)
def test_each_broken_promise_is_found(tree: Path, break_it: Callable[[Path], object], rule: str) -> None:
    break_it(tree)
    assert rule in {one.rule for one in tree_breaches(tree)}
    with pytest.raises(DefinitionError, match="could leave this host without a system") as caught:
        require_contract(tree, where="images/host.toml")
    assert "update.tries = 0" in (caught.value.resolution or "")


@pytest.mark.parametrize("line", ["default mine-host_*", "default\t@saved", "preferred mine-host_2*"])
def test_a_boot_loader_that_prefers_an_entry_does_not_fall_back(line: str) -> None:
    assert [one.rule for one in loader_breaches(f"timeout 0\n{line}\n")] == ["loader-default"]
    assert tuple(loader_breaches(f"timeout 0\n# {line}\n")) == ()


def test_a_firmware_that_prefers_an_entry_does_not_fall_back(tmp_path: Path) -> None:
    vendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
    default, attributes = tmp_path / f"LoaderEntryDefault-{vendor}", b"\x07\0\0\0"
    (tmp_path / f"LoaderInfo-{vendor}").write_bytes(attributes + "systemd-boot\0".encode("utf-16-le"))
    assert not list(variable_breaches(tmp_path))
    default.write_bytes(attributes + "old.efi\0".encode("utf-16-le"))
    (breach,) = variable_breaches(tmp_path)
    assert (breach.rule, breach.where, breach.found) == ("loader-default", default.name, "old.efi")
    default.write_bytes(attributes)  # how one that is empty looks
    assert not list(variable_breaches(tmp_path))


def test_a_folder_without_variables_is_not_taken_for_a_firmware_without_faults(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DefinitionError, match="no variable of a firmware"):
            list(variable_breaches(folder))


@pytest.mark.parametrize(
    ("roots", "trees", "esp"), [([8], [1, 1], 4), ([8, 7], [1, 1], 4), ([8, 8], [1, 2], 4), ([8, 8], [1, 1], 3)]
)
def test_slots_are_two_of_one_size_with_room_for_two_kernels(roots: list[int], trees: list[int], esp: int) -> None:
    assert [one.rule for one in slot_breaches(roots, trees, esp=esp, kernel=2)] == ["slots"]
    assert tuple(slot_breaches([8, 8], [1, 1], esp=4, kernel=2)) == ()


def test_a_host_without_tries_has_none_of_it() -> None:
    assert update_files(host(0), "mine-host") == {}
    assert entry_name("mine-host", "1.2") == "mine-host_1.2.efi"
    assert entry_name("mine-host", "1.2", tries=3) == "mine-host_1.2+3.efi"


def test_names_at_the_hand_over_are_those_that_the_transfers_look_for() -> None:
    names = incoming_names("host", "1.20261126.1", HASH)
    assert names == {
        "root.verity": "host_1.20261126.1_ffeeddcc-bbaa-9988-7766-554433221100.root.verity",
        "root.erofs": "host_1.20261126.1_00112233-4455-6677-8899-aabbccddeeff.root.erofs",
        "uki.efi": "host_1.20261126.1.uki.efi",
    }
    files = update_files(host(), "mine-host")
    for path, text in files.items():
        if path.startswith(TRANSFERS):
            pattern = Settings([text]).last("Source", "MatchPattern")
            expression = re.escape(pattern).replace("@v", "[0-9.]+").replace("@u", "[0-9a-f-]{36}")
            assert [name for name in names.values() if re.fullmatch(expression, name)] != [], pattern


def test_a_drop_in_adds_and_an_empty_value_forgets(tmp_path: Path) -> None:
    lay_files(
        tmp_path,
        {
            f"{UNITS}/a.service": "[Unit]\nBefore=b c\n[Service]\nExecStart=x \\\n  y\n",
            f"{UNITS}/a.service.d/1.conf": "[Unit]\nBefore=d\n",
            "etc/systemd/system/a.service.d/2.conf": "[Service]\nExecStart=\nExecStart=z\n",
        },
    )
    found = unit_settings(tmp_path, "a.service")
    assert found is not None
    assert found.words("Unit", "Before") == ("b", "c", "d")
    assert found.all("Service", "ExecStart") == ("z",)


def test_where_every_boot_counts_the_tries_come_back_after_each(tree: Path) -> None:
    image = Image(name="host", kind=Kind.HOST, upstream="debian", update=Update(tries=2, every_boot=True))
    files, others = update_files(image, "mine-host"), update_files(host(2), "mine-host")
    changed = {path for path, text in files.items() if text != others[path]}
    assert changed == {f"{UNITS}/zaffre-trial.service", f"{UNITS}/systemd-bless-boot.service.d/10-zaffre.conf"}
    lay_files(tree, {path: files[path] for path in changed})
    assert list(tree_breaches(tree)) == []
    assert (
        "ExecStartPost=sh /usr/lib/zaffre/health arm 2\n"
        in files[f"{UNITS}/systemd-bless-boot.service.d/10-zaffre.conf"]
    )
    assert "ExecStart=sh /usr/lib/zaffre/health gate 2\n" in files[f"{UNITS}/zaffre-trial.service"]
