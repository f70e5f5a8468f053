# SPDX-License-Identifier: Apache-2.0
"""A distribution of one's own, as `zaffre init` makes it, and what programs read of each command."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.program import Place
from zaffre.errors import ExitCode
from zaffre.trust.keys import Role

IMAGE = "container-host"


def test_it_builds_as_it_is_and_bears_its_own_name(own: Place) -> None:
    """The fixture has run init, keys init and lock."""
    folder = own.build(IMAGE)
    extension = own.build("check")
    assert (folder.parent, extension.parent) == (own.out, own.out)
    tools = next((own.store / "trees").glob("*/root"))
    text = os_release(tools, folder / "root.erofs")
    assert text["ID"] == "own-linux"
    assert text["NAME"] == '"Own Linux"'
    assert text["ID_LIKE"] == "debian"
    subject = next(key["subject"] for key in own.run("keys", "list", "--json").json["keys"] if key["role"] == "db")
    assert "Own Linux" in subject
    assert "everything holds" in own.run("verify", str(extension)).out
    assert "nothing to change" in own.run("lock").out


def os_release(tools: Path, image: Path) -> dict[str, str]:
    """Read out of the sealed root, by dump.erofs of the tools tree."""
    binds = [word for name in ("usr", "lib", "lib64", "bin") for word in ("--ro-bind", str(tools / name), f"/{name}")]
    words = ["dump.erofs", "--cat", "--path=/usr/lib/os-release", "/image"]
    done = subprocess.run(
        ["bwrap", *binds, "--ro-bind", str(image), "/image", *words], capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def test_an_inhabited_folder_is_left_alone(own: Place) -> None:
    before = {path: path.stat().st_mtime_ns for path in own.distro.rglob("*")}
    done = own.run("init", str(own.distro), code=ExitCode.USAGE)
    assert f"error: this directory is there already and not empty\n  where: {own.distro}\n" in done.said
    assert {path: path.stat().st_mtime_ns for path in own.distro.rglob("*")} == before


WITH_RESULT: list[tuple[tuple[str, ...], type]] = [
    (("show",), list),
    (("show", IMAGE), list),
    (("schema",), dict),
    (("lock", "--check"), dict),
    (("lock", "--dry-run"), dict),
    (("lock",), dict),
    (("build", IMAGE, "--why"), dict),
    (("inventory", IMAGE), dict),
    (("diff", IMAGE, IMAGE), dict),
    (("keys", "list"), dict),
    (("keys", "show", "release"), dict),
    (("store", "size"), dict),
    (("store", "gc", "--dry-run"), dict),
]


@pytest.mark.parametrize(("words", "kind"), WITH_RESULT, ids=[" ".join(words) for words, _ in WITH_RESULT])
def test_json_is_all_there_is_on_standard_output(own: Place, words: tuple[str, ...], kind: type) -> None:
    out = ("--out", str(own.out)) if words[0] in {"build", "inventory"} else ()
    options = () if words[0] == "schema" else ("--json",)
    found: Any = own.run(*words, *out, *options).json
    assert isinstance(found, kind)
    assert found


def test_json_of_commands_that_make_or_judge(own: Place, tmp_path: Path) -> None:
    made = own.run("init", str(tmp_path / "acme"), "--json").json
    assert made["id"] == "acme"
    keys = own.at(distro=tmp_path / "acme", keys=tmp_path / "keys").run("keys", "init", "--json").json
    assert {key["role"] for key in keys["keys"]} == {*Role, "repository"}
    report = own.run("verify", str(own.build(IMAGE)), "--json").json
    assert all(check["ok"] for check in report["checks"])
    assert own.run("doctor", "--json").json["ok"] is True
