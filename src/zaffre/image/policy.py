# SPDX-License-Identifier: Apache-2.0
"""The SELinux policy of a host or a server: modules of the upstream's package and files of the definition, as one.

The package's modules are in the form of semodule(8), compressed by bzip2. They become the common intermediate language
by `pp`, libsemanage's own converter, and one binary policy by secilc(8), with the table of labels (file_contexts(5)).
Modules and programs are among the tools of the build, the modules unpacked: the package's script would compile all of
them for a system that has a policy store. An image has the result alone.
"""

from __future__ import annotations

import bz2
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import Distribution, Image, Kind, SelinuxMode
from zaffre.digest import JSON, Sha256, sha256_file, sha256_json
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.image.homes import SEUSERS, with_homes, without_homes
from zaffre.image.steps import Workshop, code_digest
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Action, ActionResult
from zaffre.tree.rootfs import inside, is_plain, read_text

POLICY_VERSION = 33
"""Of the binary form: the newest that Linux 6.12 reads (security/selinux/include/security.h)."""
_STORE = "etc/selinux/default"
"""Where libselinux finds the policy that /etc/selinux/config names (selinux_config(5))."""
_TABLE = "contexts/files/file_contexts"
"""Of labels by path; beside it are its compiled form and the paths that stand for others."""
_MODULES = "usr/share/selinux/default"
_CONVERTER = "/usr/libexec/selinux/hll/pp"
_OTHER = "contexts of "
_MODULE_BYTES = 64 << 20
_SECONDS = 300.0
# Of the base: who is which user, which homes.py says, since it names users of modules that need not be there; and that
# the folder on which /proc is mounted has no label, in a file system where each has one.
_LEFT_OUT = (b"(selinuxuser ", b"(selinuxuserdefault ", b'(filecon "/proc" dir ())')
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
    what else is looked up, by path below the policy's folder.
    """

    binary: Sha256
    contexts: Sha256
    compiled: Sha256
    substitutes: Sha256
    others: Mapping[str, Sha256]

    @property
    def labels(self) -> Labels:
        """What file systems are labelled by."""
        return Labels(self.contexts, self.substitutes)

    def inputs(self) -> dict[str, JSON]:
        return {
            "binary": self.binary,
            "contexts": self.contexts,
            "substitutes": self.substitutes,
            "others": dict(self.others),
        }


def policy_of(distribution: Distribution, image: Image, shop: Workshop) -> Policy | None:
    """The policy of an image that wants one. Raises DefinitionError for a module that the package has not got, and for
    a policy that does not compile.
    """
    if image.selinux.mode is SelinuxMode.OFF:
        return None
    outputs = shop.perform("SELinux policy", *_policy_action(distribution, image, shop)).outputs
    others = {name.removeprefix(_OTHER): blob for name, blob in outputs.items() if name.startswith(_OTHER)}
    return Policy(outputs["policy"], outputs["contexts"], outputs["compiled"], outputs["substitutes"], others)


def _policy_action(
    distribution: Distribution, image: Image, shop: Workshop
) -> tuple[Action, Callable[[Path], ActionResult]]:
    logins = image.kind is Kind.SERVER
    files = {name: distribution.path(name) for name in image.selinux.files}
    action = Action(
        kind="selinux",
        label=f"policy {image.name}",
        inputs={
            "modules": image.selinux.modules,
            "files": [[name, sha256_file(path)] for name, path in files.items()],
            "logins": logins,
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="what each service may do, and the labels of files",
    )

    def produce(scratch: Path) -> ActionResult:
        root, job = shop.sandbox.tools.root, scratch / "job"
        job.mkdir()
        sources = [*_converted(root, job, image, shop.sandbox), *_own(files, job)]
        _compile(job, sources, shop.sandbox)
        contexts = job / "file_contexts"
        contexts.write_text((with_homes if logins else without_homes)(contexts.read_text()))
        _run(["sefcontext_compile", "-o", "/job/file_contexts.bin", "/job/file_contexts"], job, shop.sandbox)
        own = "" if logins else _SUBSTITUTES
        substitutes = read_text(root, f"{_STORE}/{_TABLE}.subs_dist") + own
        return ActionResult(
            {
                "policy": shop.store.add_file(job / "policy", move=True),
                "contexts": shop.store.add_file(contexts),
                "compiled": shop.store.add_file(job / "file_contexts.bin", move=True),
                "substitutes": shop.store.add_bytes(substitutes.encode()),
                **{
                    f"{_OTHER}{path}": shop.store.add_bytes(content)
                    for path, content in _looked_up(root, logins=logins).items()
                },
            },
            {},
        )

    return action, produce


def _looked_up(root: Path, *, logins: bool) -> dict[str, bytes]:
    """By path below the policy's folder: contexts of the bus, of containers and, with `logins`, of users."""
    folder = inside(root, _STORE)
    folders = [folder / "contexts", *([folder / "contexts/users"] if logins else [])]
    found = sorted(one for place in folders for one in place.iterdir() if one.is_file())
    return {
        **{str(one.relative_to(folder)): one.read_bytes() for one in found},
        **({"seusers": SEUSERS.encode()} if logins else {}),
    }


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


def _own(files: Mapping[str, Path], job: Path) -> Iterator[str]:
    for number, (name, path) in enumerate(files.items()):
        target = f"{number}-{Path(name).name}"
        (job / target).write_bytes(path.read_bytes())
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


def policy_files(policy: Policy, mode: SelinuxMode, shop: Workshop) -> dict[str, bytes]:
    """By path below /etc/selinux, where libselinux finds it all."""
    files = {
        f"policy/policy.{POLICY_VERSION}": policy.binary,
        _TABLE: policy.contexts,
        f"{_TABLE}.bin": policy.compiled,
        f"{_TABLE}.subs_dist": policy.substitutes,
        **policy.others,
    }
    return {
        **{f"default/{path}": shop.store.verified(blob).read_bytes() for path, blob in files.items()},
        "config": f"SELINUX={mode}\nSELINUXTYPE=default\n".encode(),
    }


def labels_in(root: Path) -> tuple[Path, Path] | None:
    """The tables that the tree at `root` was labelled by, as `make_erofs` takes them; None if it has none."""
    tables = inside(root, f"{_STORE}/{_TABLE}"), inside(root, f"{_STORE}/{_TABLE}.subs_dist")
    return tables if all(is_plain(root, str(table.relative_to(root))) for table in tables) else None
