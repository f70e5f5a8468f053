# SPDX-License-Identifier: Apache-2.0
"""A distribution for WSL, step by step: configured root -> root with our package -> `.wsl` file that keeps the rules.

It has a server's packages without what starts and reaches a machine: WSL has a kernel and a network of its own. What is
ours in it comes as a package of the same repository, so it is upgraded as servers are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import Sha256
from zaffre.errors import DefinitionError
from zaffre.image.output import place
from zaffre.image.own import system_package
from zaffre.image.serverstate import package_manager_files
from zaffre.image.steps import Workshop, code_digest
from zaffre.image.system import SystemPlan
from zaffre.image.writable import tree_action
from zaffre.image.wsl.rules import check_wsl
from zaffre.image.wsl.units import masks
from zaffre.store import Action, ActionResult

WSL_NAME = "image.wsl"

_ABSENT = ("etc/resolv.conf",)
_SECONDS = 1800.0
_LEVELS = {"dev": "-6", "release": "-9"}


@dataclass(frozen=True)
class WslParts:
    """Blobs of its files; `packages` are ours, by file name."""

    packages: Mapping[str, Sha256]
    tree: Sha256
    inventory: Sha256
    wsl: Sha256


def build_wsl(plan: SystemPlan, keyring: bytes | None, shop: Workshop) -> WslParts:
    """Run the steps. The same plan, lock and keys give the same blobs.

    `keyring` has the public key of the repository that the system follows, if it does. Raises DefinitionError for what
    breaks a rule of WSL's documentation.
    """
    packages = wsl_packages(plan, keyring, shop)
    tree = shop.perform("tree", *tree_action(plan, tuple(packages.values()), shop, absent=_ABSENT))
    packed = shop.perform("wsl", *_packed_action(plan, tree.outputs["tree"], shop))
    return WslParts(packages, tree.outputs["tree"], tree.outputs["inventory"], packed.outputs["wsl"])


def wsl_packages(plan: SystemPlan, keyring: bytes | None, shop: Workshop) -> Mapping[str, Sha256]:
    """The package of ours alone, as a repository wants it."""
    generated = package_manager_files(plan.distribution, plan.image, keyring)
    system = shop.perform("system package", *system_package(plan, None, generated, shop, links=masks()))
    return {f"{plan.slug}_{plan.version}_{shop.architecture}.deb": system.outputs["package"]}


def place_wsl(parts: WslParts, folder: Path, shop: Workshop) -> int:
    """Write the package, the `.wsl` file and the inventory into `folder`; returns the bytes written."""
    for name, digest in {**parts.packages, WSL_NAME: parts.wsl, "inventory.json": parts.inventory}.items():
        place(shop.store.verified(digest), folder / name)
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


def _packed_action(plan: SystemPlan, tree: Sha256, shop: Workshop) -> tuple[Action, Callable[[Path], ActionResult]]:
    action = Action(
        kind="wsl",
        label=f"wsl {plan.image.name} {plan.profile}",
        inputs={
            "tree": tree,
            "level": _LEVELS[plan.profile],
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="the archive as WSL takes it, held against the rules of its documentation",
    )

    def produce(scratch: Path) -> ActionResult:
        target = scratch / WSL_NAME
        shop.sandbox.run(
            ["gzip", "--no-name", "--stdout", _LEVELS[plan.profile]],
            stdin=shop.store.verified(tree),
            stdout=target,
            timeout=_SECONDS,
        )
        _require_flawless(target)
        return ActionResult({"wsl": shop.store.add_file(target, move=True)}, {})

    return action, produce


def _require_flawless(path: Path) -> None:
    """Our own keep every rule, recommendations too."""
    report = check_wsl(path)
    lines = [f"{rule.rule}: {finding.text}" for rule in report.rules for finding in rule.findings]
    if lines:
        raise DefinitionError(
            f"{len(lines)} rules of WSL's documentation are broken" if len(lines) > 1 else f"WSL: {lines[0]}",
            where="files.trees",
            details="\n".join(lines) if len(lines) > 1 else None,
            resolution="mend what the image lays over its root, or its packages; docs/how-to/wsl.md tells the rules",
        )
