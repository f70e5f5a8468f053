# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a file of changes is said with its key and a suggestion; what is right means what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from customised import changes

from zaffre.customiser.apply import refuse_var, settings_files
from zaffre.customiser.changes import ChangesFile
from zaffre.customiser.kernel import KernelImage, changed_words, require_unsigned_root
from zaffre.errors import DefinitionError


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("hostnam = 'web1'", "changes.toml: hostnam", "unknown key"),
        ("hostname = 'web 1'", "changes.toml: hostname", "is not a host name"),
        ("units.enable = ['app']", "changes.toml: units.enable[0]", "systemd unit with its suffix"),
        ("units.enable = ['a.service']\nunits.mask = ['a.service']", "changes.toml: units.enable[0]", "masked, too"),
        ("files.trees = ['lost']", "changes.toml: files.trees[0]", "there is no directory lost"),
        ("files.trees = ['../up']", "changes.toml: files.trees[0]", "without '.' or '..'"),
        ("packages.install = ['a.deb']", "changes.toml: packages.install[0]", "there is no file a.deb"),
        ("disk.total = '1'", "changes.toml: disk.total", "is not a size"),
        ("hostname = ", "changes.toml:1:", "this is not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(tmp_path: Path, text: str, where: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as caught:
        ChangesFile(changes(tmp_path, text))
    assert caught.value.where is not None
    assert caught.value.where.startswith(where)


def test_a_misspelt_key_has_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        ChangesFile(changes(tmp_path, "hostnam = 'web1'"))
    assert caught.value.resolution == "did you mean 'hostname'?"


def test_settings_become_files_that_win_over_those_of_an_image(tmp_path: Path) -> None:
    text = "hostname = 'web1'\nunits.disable = ['a.service']\n[sysctl]\n'vm.swappiness' = 10\n"
    files = settings_files(ChangesFile(changes(tmp_path, text)).changes)
    assert files["etc/hostname"] == "web1\n"
    (sysctl,) = (path for path in files if "sysctl" in path)
    assert files[sysctl] == "vm.swappiness = 10\n"
    assert Path(sysctl).name > "99-zaffre.conf", "the last one counts"
    (preset,) = (path for path in files if "preset" in path)
    assert Path(preset).name < "00-zaffre.preset", "the first one counts"


def test_the_command_line_changes_but_for_what_names_the_root(tmp_path: Path) -> None:
    old = ("roothash=abc", "root=/dev/mapper/root", "ro", "quiet", "loglevel=4")
    file = ChangesFile(changes(tmp_path, "command_line.remove = ['quiet']\ncommand_line.add = ['a=1', 'b']"))
    assert changed_words(old, file, root_hash="def") == (
        *("roothash=def", "root=/dev/mapper/root", "ro", "loglevel=4", "a=1", "b"),
    )
    for text, said in (
        ("command_line.remove = ['roothash=abc']", "says which root is started"),
        ("command_line.add = ['root=/dev/sda1']", "says which root is started"),
        ("command_line.remove = ['loglevel']", "has no loglevel"),
    ):
        with pytest.raises(DefinitionError, match=said):
            changed_words(old, ChangesFile(changes(tmp_path, text)))


def test_a_root_whose_hash_is_signed_for_the_kernel_is_not_changed(tmp_path: Path) -> None:
    options = "systemd.verity_root_options=panic-on-corruption"
    require_unsigned_root(KernelImage(tmp_path, (options,), "6.12"), where="image.raw")
    signed = KernelImage(tmp_path, (f"{options},root-hash-signature=base64:MII=",), "6.12")
    with pytest.raises(DefinitionError, match="IPE") as told:
        require_unsigned_root(signed, where="image.raw")
    assert told.value.where == "image.raw"


def test_the_digest_is_of_the_changes_and_their_files(tmp_path: Path) -> None:
    one = changes(tmp_path / "one", marker="1")
    same, other = changes(tmp_path / "same", marker="1"), changes(tmp_path / "other", marker="2")
    assert ChangesFile(one).digest == ChangesFile(same).digest != ChangesFile(other).digest


def test_files_below_var_would_not_be_seen_in_a_sealed_image(tmp_path: Path) -> None:
    path = changes(tmp_path, "files.trees = ['files']")
    (tmp_path / "files/var/lib").mkdir(parents=True)
    with pytest.raises(DefinitionError, match="/var/lib would not be seen"):
        refuse_var(ChangesFile(path))
