# SPDX-License-Identifier: Apache-2.0
"""What makes one extension another: whatever is in it or on it must be in the key of the step that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from zaffre.definition import Image, load_distribution, reference_root
from zaffre.digest import EMPTY
from zaffre.errors import DefinitionError
from zaffre.image.extension import build_extension
from zaffre.image.python import compile_python
from zaffre.image.uki import SigningKeys
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Action, ActionResult
from zaffre.tree.contents import PackagedFile, PackageFiles

DISTRIBUTION = load_distribution(reference_root())
CHECK = DISTRIBUTION.image("check")


@dataclass
class Asked:
    """A workshop that is told what to make, and remembers it instead."""

    keys: SigningKeys
    architecture: str = "amd64"
    epoch: int = 1
    sandbox: Sandbox = field(default_factory=lambda: Sandbox(ToolsTree(Path("/nowhere"), "tools")))
    actions: list[Action] = field(default_factory=list)

    def perform(self, _title: str, action: Action, _produce: Callable[[Path], ActionResult]) -> ActionResult:
        self.actions.append(action)
        return ActionResult({"extension": EMPTY}, {})


def key(tmp_path: Path, image: Image, **circumstances: str) -> str:
    certificate = tmp_path / "verity.crt"
    certificate.write_text("a certificate")
    shop = Asked(SigningKeys(certificate, certificate, certificate, certificate), **circumstances)  # type: ignore[arg-type]
    build_extension(DISTRIBUTION, image, (), shop)  # type: ignore[arg-type]
    return shop.actions[0].key


def test_name_architecture_and_the_order_of_trees_make_another_extension(tmp_path: Path) -> None:
    files = CHECK.files.model_copy(update={"trees": ("files/check", "files/container-host")})
    two = CHECK.model_copy(update={"files": files})
    turned = two.model_copy(update={"files": files.model_copy(update={"trees": files.trees[::-1]})})
    keys = [
        key(tmp_path, CHECK),
        key(tmp_path, CHECK.model_copy(update={"name": "other"})),
        key(tmp_path, CHECK, architecture="arm64"),
        key(tmp_path, two),
        key(tmp_path, turned),
    ]
    assert len(set(keys)) == len(keys)
    assert key(tmp_path, CHECK) == keys[0]


def test_patterns_take_files_of_a_package_and_leave_some(tmp_path: Path) -> None:
    archive = tmp_path / "package"
    archive.write_bytes(b"abc")
    names = ("usr/lib/py/a.py", "usr/lib/py/test/b.py", "usr/lib/py/test/deep/c.py", "usr/bin/py")
    files = PackageFiles("py", archive, {name: PackagedFile(0, 1, 0o644) for name in names})
    taken = files.matching("/usr/lib/py/**", ["/usr/lib/py/test/**"], key="k")
    assert taken == ("/usr/lib/py/a.py",)
    assert files.matching("/usr/lib/py/**", [], key="k") == tuple(f"/{name}" for name in names[:3])
    assert files.matching("/not/there", [], key="k") == ("/not/there",)  # `take` says so, with what is near
    with pytest.raises(DefinitionError, match="matches /opt/") as told:
        files.matching("/opt/*", [], key="extract[0].paths[0]")
    assert told.value.where == "extract[0].paths[0]"


def test_another_agent_makes_another_extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = DISTRIBUTION.image("agent")
    before = key(tmp_path, agent)
    monkeypatch.setattr("zaffre.image.extension.agent_digest", lambda: EMPTY)
    assert key(tmp_path, agent) != before
    assert key(tmp_path, CHECK) == key(tmp_path, CHECK.model_copy(update={"agent": False}))


def test_an_extension_without_an_interpreter_keeps_its_modules(tmp_path: Path) -> None:
    module = tmp_path / "usr/lib/x/module.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1\n")
    compile_python(tmp_path, tmp_path, Sandbox(None))
    assert module.exists()
