# SPDX-License-Identifier: Apache-2.0
"""The SELinux policy of a host: modules of the upstream's package and files of the definition, compiled together.

The package's modules are in the form of semodule(8), compressed by bzip2. They become the common intermediate language
by `pp`, libsemanage's own converter, and one binary policy by secilc(8), with the table of labels (file_contexts(5)).
Modules and programs are among the tools of the build, the modules unpacked: the package's script would compile all of
them for a system that has a policy store. An image has the result alone.
"""

from __future__ import annotations

import bz2
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import Image, SelinuxMode
from zaffre.digest import JSON, Sha256, sha256_file, sha256_json
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.image.steps import Workshop, code_digest
from zaffre.image.system import SystemPlan
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Action, ActionResult
from zaffre.tree.rootfs import inside, is_plain, read_text, write_bytes

POLICY_VERSION = 33
"""Of the binary form: the newest that Linux 6.12 reads (security/selinux/include/security.h)."""
_STORE = "etc/selinux/default"
"""Where libselinux finds the policy that /etc/selinux/config names (selinux_config(5))."""
_OTHERS = f"{_STORE}/contexts"
"""What else the package has to be looked up: contexts of the bus, of log-ins, of containers."""
_CONTEXTS = f"{_STORE}/contexts/files"
_MODULES = "usr/share/selinux/default"
_CONVERTER = "/usr/libexec/selinux/hll/pp"
_OTHER = "contexts of "
_MODULE_BYTES = 64 << 20
_SECONDS = 300.0
# Of the base: users who log in, of which a host has none, and who would have roles of modules that need not be there;
# and that the folder on which /proc is mounted has no label, in a file system where each has one.
_LEFT_OUT = (b"(selinuxuser ", b"(selinuxuserdefault ", b'(filecon "/proc" dir ())')
# Lines for the homes of users, which semanage(8) would fill in for each.
_HOMES = ("HOME_DIR", "HOME_ROOT", "%{")
# Where /etc, an overlay, has what was written since the boot, and what is kept of it (see state.py).
_SUBSTITUTES = "/run/zaffre/etc/upper /etc\n/var/lib/zaffre/etc /etc\n"


@dataclass(frozen=True)
class Labels:
    """The table of labels by path (file_contexts(5)), and of paths that stand for others (file_contexts.subs_dist)."""

    contexts: Sha256
    substitutes: Sha256

    @property
    def digest(self) -> Sha256:
        return sha256_json([self.contexts, self.substitutes])

    def files(self, shop: Workshop) -> tuple[Path, Path]:
        """Both, as `make_erofs` takes them."""
        return shop.store.verified(self.contexts), shop.store.verified(self.substitutes)


@dataclass(frozen=True)
class Policy:
    """The blobs of a compiled policy: in binary, and the table of labels by path, as text and compiled. `others` are
    what else is looked up below `contexts`, by name.
    """

    binary: Sha256
    contexts: Sha256
    compiled: Sha256
    substitutes: Sha256
    others: Mapping[str, Sha256]

    @property
    def labels(self) -> Labels:
        """What a file system is labelled by."""
        return Labels(self.contexts, self.substitutes)

    def inputs(self) -> dict[str, JSON]:
        return {
            "binary": self.binary,
            "contexts": self.contexts,
            "substitutes": self.substitutes,
            "others": dict(self.others),
        }


def policy_of(plan: SystemPlan, shop: Workshop) -> Policy | None:
    """The image's policy; None if it has none. Raises DefinitionError for a module that is not there, and for files
    that do not compile.
    """
    if plan.image.selinux.mode is SelinuxMode.OFF:
        return None
    outputs = shop.perform("SELinux policy", *_policy_action(plan, shop)).outputs
    others = {name.removeprefix(_OTHER): blob for name, blob in outputs.items() if name.startswith(_OTHER)}
    return Policy(outputs["policy"], outputs["contexts"], outputs["compiled"], outputs["substitutes"], others)


def _policy_action(plan: SystemPlan, shop: Workshop) -> tuple[Action, Callable[[Path], ActionResult]]:
    image = plan.image
    action = Action(
        kind="selinux",
        label=f"policy {image.name}",
        inputs={
            "modules": image.selinux.modules,
            "files": [[name, sha256_file(plan.distribution.path(name))] for name in image.selinux.files],
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="what each service may do, and the labels of files",
    )

    def produce(scratch: Path) -> ActionResult:
        root, job = shop.sandbox.tools.root, scratch / "job"
        job.mkdir()
        sources = [*_converted(root, job, image, shop.sandbox), *_own(plan, job)]
        _compile(job, sources, shop.sandbox)
        contexts = job / "file_contexts"
        contexts.write_text(without_homes(contexts.read_text()))
        _run(["sefcontext_compile", "-o", "/job/file_contexts.bin", "/job/file_contexts"], job, shop.sandbox)
        substitutes = read_text(root, f"{_CONTEXTS}/file_contexts.subs_dist") + _SUBSTITUTES
        others = sorted(one for one in inside(root, _OTHERS).iterdir() if one.is_file())
        return ActionResult(
            {
                "policy": shop.store.add_file(job / "policy", move=True),
                "contexts": shop.store.add_file(contexts),
                "compiled": shop.store.add_file(job / "file_contexts.bin", move=True),
                "substitutes": shop.store.add_bytes(substitutes.encode()),
                **{f"{_OTHER}{one.name}": shop.store.add_bytes(one.read_bytes()) for one in others},
            },
            {},
        )

    return action, produce


def _converted(root: Path, job: Path, image: Image, sandbox: Sandbox) -> Iterator[str]:
    """Names of files in `job` with the modules in the intermediate language."""
    for number, name in enumerate(("base", *image.selinux.modules), start=-1):
        try:
            packed = inside(root, f"{_MODULES}/{name}.pp.bz2").read_bytes()
        except FileNotFoundError as error:
            raise _no_module(root, name, number) from error
        reader = bz2.BZ2Decompressor()
        (job / f"{name}.pp").write_bytes(reader.decompress(packed, _MODULE_BYTES))
        if not reader.eof:
            raise IntegrityError("a module of the SELinux policy is damaged", where=f"/{_MODULES}/{name}.pp.bz2")
        _run([_CONVERTER, f"/job/{name}.pp", f"/job/{name}.cil"], job, sandbox)
        (job / f"{name}.pp").unlink()
        if name == "base":
            lines = (job / "base.cil").read_bytes().splitlines(keepends=True)
            (job / "base.cil").write_bytes(b"".join(line for line in lines if not line.startswith(_LEFT_OUT)))
        yield f"{name}.cil"


def _no_module(root: Path, name: str, number: int) -> DefinitionError:
    if number < 0:
        return DefinitionError(
            "the tools have no SELinux policy to start from",
            where="selinux",
            resolution='in [tools] of zaffre.toml, add "selinux-policy-default" to `unpacked`, "secilc" to `packages`',
        )
    there = sorted(path.name.removesuffix(".pp.bz2") for path in inside(root, _MODULES).glob("*.pp.bz2"))
    return DefinitionError(
        f"selinux-policy-default has no module '{name}'",
        where=f"selinux.modules[{number}]",
        details=f"it has {', '.join(there)}",
    )


def _own(plan: SystemPlan, job: Path) -> Iterator[str]:
    for number, name in enumerate(plan.image.selinux.files):
        target = f"own-{number}-{os.path.basename(name)}"  # noqa: PTH119 - a relative path of the definition
        (job / target).write_bytes(plan.distribution.path(name).read_bytes())
        yield target


def _compile(job: Path, sources: list[str], sandbox: Sandbox) -> None:
    argv = ["secilc", "--multiple-decls", "--mls=true", f"--policyvers={POLICY_VERSION}", "--optimize"]
    argv += ["--output=/job/policy", "--filecontext=/job/file_contexts", *(f"/job/{name}" for name in sources)]
    done = sandbox.run(argv, mounts=[Mount(job, "/job", writable=True)], timeout=_SECONDS, check=False)
    if done.returncode:
        raise DefinitionError(
            "the SELinux policy does not compile",
            where="selinux",
            details=done.stderr_tail.strip()[-2000:],
            resolution="mend `selinux.files`, or name the module that has what is missing in `selinux.modules`",
        )


def _run(argv: list[str], job: Path, sandbox: Sandbox) -> None:
    sandbox.run(argv, mounts=[Mount(job, "/job", writable=True)], timeout=_SECONDS)


def without_homes(contexts: str) -> str:
    """The lines of file_contexts(5) that stand as they are, without those that are patterns for each user."""
    return "".join(f"{line}\n" for line in contexts.splitlines() if not line.startswith(_HOMES) and "%{" not in line)


def lay_policy(root: Path, policy: Policy, mode: SelinuxMode, shop: Workshop) -> None:
    """Write the policy into the tree at `root`, where libselinux finds it."""
    files = {
        f"{_STORE}/policy/policy.{POLICY_VERSION}": policy.binary,
        f"{_CONTEXTS}/file_contexts": policy.contexts,
        f"{_CONTEXTS}/file_contexts.bin": policy.compiled,
        f"{_CONTEXTS}/file_contexts.subs_dist": policy.substitutes,
        **{f"{_OTHERS}/{name}": blob for name, blob in policy.others.items()},
    }
    for path, blob in files.items():
        write_bytes(root, path, shop.store.verified(blob).read_bytes())
    write_bytes(root, "etc/selinux/config", f"SELINUX={mode}\nSELINUXTYPE=default\n".encode())


def labels_in(root: Path) -> tuple[Path, Path] | None:
    """The tables that the tree at `root` was labelled by, as `make_erofs` takes them; None if it has none."""
    tables = inside(root, f"{_CONTEXTS}/file_contexts"), inside(root, f"{_CONTEXTS}/file_contexts.subs_dist")
    return tables if all(is_plain(root, str(table.relative_to(root))) for table in tables) else None
