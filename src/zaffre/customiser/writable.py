# SPDX-License-Identifier: Apache-2.0
"""An image with an ext4 root, step by step: a copy of it is changed in place, and the change is proved.

The root is read to a tree, the tree is changed, and the paths that differ are written into the copy. All else of the
image, other partitions and boot loader included, stays as it is byte for byte.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from zaffre.compare import inventory_details
from zaffre.customiser.apply import apply_changes, named
from zaffre.customiser.assembly import IMAGE, INVENTORY, KERNEL, facts_of, finish
from zaffre.customiser.bench import Bench, Order
from zaffre.customiser.changes import ChangesFile
from zaffre.customiser.differing import differences, snapshot, without_traces
from zaffre.customiser.ext4 import Ext4, Node, TreeChanges
from zaffre.customiser.kernel import KernelImage, changed_words, put_together, take_apart
from zaffre.customiser.report import Report
from zaffre.customiser.signatures import signatures_of
from zaffre.customiser.source import Source, require_ext4
from zaffre.customiser.unpack import SystemPartition, read_esp
from zaffre.errors import DefinitionError, IntegrityError, ToolError
from zaffre.image.fresh import fresh_directory, remove_leftovers
from zaffre.image.labelling import ATTRIBUTE, attribute, labels_of
from zaffre.image.policy import labels_in
from zaffre.image.uki import sign_pe
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Stopwatch, allocated_size, copy_sparse, require_room
from zaffre.tree import Inventory, inventory_of, inventory_text, scratch_for
from zaffre.tree.own import change_packages
from zaffre.trust.contents import FOREIGN

_SECONDS = 600.0
_EXPECTED = 1 << 30


def customise_writable(source: Source, order: Order, bench: Bench) -> Report:
    """Do what `order` says. Raises DefinitionError for what it asks in vain, IntegrityError for a damaged image."""
    watch = Stopwatch()
    old = Ext4(source.path, require_ext4(source), bench.sandbox)
    epoch = old.written if order.epoch is None else order.epoch
    with (
        bench.store.scratch("customise") as scratch,
        scratch_for(bench.store, "customise", expected=_EXPECTED) as memory,
    ):
        work = _Work(order, bench, source, memory / "root", scratch, epoch, _boot(source, scratch, bench))
        _refuse(order, source, boot=work.boot, signing=bench.keys is not None)
        with bench.progress.step("read and verify") as remark:
            old.require_sound()
            old.extract(work.root)
            before = inventory_of(work.root, command_line=work.words)
            known = snapshot(work.root, before, latest=epoch)
            remark(f"{before.bytes / 1e6:.1f} MB")
        with bench.progress.step("change") as remark:
            work.change()
            after = work.inventory(work.root)
            changes = differences(known, snapshot(work.root, after, latest=epoch))
            tables = labels_in(work.root)
            _require_no_attributes(old, changes, without=ATTRIBUTE if tables else None)
            if tables is not None:
                changes = _labelled(changes, tables, bench.sandbox)
            remark(f"{len(changes.new)} written, {len(changes.gone)} removed")
        report = Report(
            image=str(source.path),
            form=source.form,
            architecture=source.architecture,
            signatures=signatures_of(work.boot.esp.folder, work.boot.esp.kernel, work.boot.esp.loader)
            if work.boot
            else (),
            details=inventory_details(without_traces(before), without_traces(after)),
            grown=tuple(_grown(source, order.file)),
        )
        if order.dry_run:
            return report
        remove_leftovers(order.out.parent)
        with fresh_directory(order.out) as folder:
            require_room(folder, 2 * allocated_size(source.path))
            work.write(changes, after, folder)
            work.finish(folder, watch)
        return report.model_copy(update={"directory": str(order.out)})


@dataclass(frozen=True)
class _Boot:
    """The ESP, where it has one unified kernel image."""

    esp: SystemPartition
    kernel: KernelImage


@dataclass(frozen=True)
class _Work:
    """One customisation: what is asked for, the root as a tree, and a folder that is removed in the end."""

    order: Order
    bench: Bench
    source: Source
    root: Path
    scratch: Path
    epoch: int
    boot: _Boot | None

    @property
    def words(self) -> tuple[str, ...]:
        return self.boot.kernel.command_line if self.boot else ()

    @property
    def new_words(self) -> tuple[str, ...]:
        return changed_words(self.words, self.order.file) if self.boot else ()

    def change(self) -> None:
        """Packages first, so that files and units of theirs can be meant by all else."""
        file = self.order.file
        packages = file.changes.packages
        if packages.install or packages.remove:
            with named(file), _dpkg_refusals():
                change_packages(
                    self.root,
                    install=[(file.root / one).resolve() for one in packages.install],
                    remove=packages.remove,
                    epoch=self.epoch,
                    sandbox=self.bench.sandbox,
                )
        apply_changes(self.root, file, epoch=self.epoch, sandbox=self.bench.sandbox)

    def inventory(self, root: Path) -> Inventory:
        trees = {tree: self.order.file.root / tree for tree in self.order.file.changes.files.trees}
        return inventory_of(root, command_line=self.new_words, trees=trees)

    def write(self, changes: TreeChanges, wanted: Inventory, folder: Path) -> None:
        """Make the changed image in `folder`, with its inventory, as it reads from the image itself."""
        target = folder / IMAGE
        (partition,) = self.source.root
        new = Ext4(target, partition, self.bench.sandbox)
        with self.bench.progress.step("write"):
            copy_sparse(self.source.path, target)
            target.chmod(0o644)
            if changes:
                new.change(changes, self.root, epoch=self.epoch, scratch=self.scratch)
            if (total := self.order.file.changes.disk.total) is not None:
                os.truncate(target, total)
        with self.bench.progress.step("prove"):
            new.require_sound()
            shutil.rmtree(self.root)
            new.extract(self.root)
            found = self.inventory(self.root)
            if without_traces(found).content != without_traces(wanted).content:
                raise IntegrityError(
                    "what was written does not read as it should", where=str(target), resolution="please report it"
                )
            (folder / INVENTORY).write_text(inventory_text(found))

    def finish(self, folder: Path, watch: Stopwatch) -> None:
        """The kernel image, where its command line changes, and the manifest."""
        manifest = self.source.manifest
        if self.boot is not None:
            self._place_kernel(self.boot, folder)
        (partition,) = self.source.root
        facts = facts_of(
            self.source,
            name=partition.label or self.source.path.stem,
            version="unknown",
            debug=False,
            epoch=self.epoch,
            changes=self.order.file.digest,
            tools=self.bench.sandbox.tools.key,
        )
        packages = self.order.file.changes.packages
        if packages.install or packages.remove:
            # The inventory has what the image's own database says; where those came from is known no more.
            facts = facts.model_copy(update={"packages": []})
        finish(
            facts,
            folder,
            self.bench.signer,
            watch,
            kind=manifest.kind if manifest else "server" if self.boot else FOREIGN,
        )

    def _place_kernel(self, boot: _Boot, folder: Path) -> None:
        current, target = boot.esp.folder / boot.esp.kernel, folder / KERNEL
        if self.new_words == self.words:
            shutil.copyfile(current, target)
            return
        unsigned = self.scratch / "unsigned.efi"
        put_together(
            boot.kernel,
            unsigned,
            words=self.new_words,
            architecture=self.source.architecture,
            epoch=self.epoch,
            sandbox=self.bench.sandbox,
        )
        if self.bench.keys is None or self.source.esp is None:
            raise AssertionError("a kernel image without keys or ESP has been refused")
        with self.bench.progress.step("sign"):
            sign_pe(unsigned, target, keys=self.bench.keys, epoch=self.epoch, sandbox=self.bench.sandbox)
        os.utime(target, (self.epoch, self.epoch))
        self.bench.sandbox.run(
            [
                "mcopy",
                "-o",
                "-m",
                "-i",
                f"/job/image@@{self.source.esp.offset}",
                "/job/new.efi",
                f"::/{boot.esp.kernel}",
            ],
            mounts=[Mount(folder / IMAGE, "/job/image", writable=True), Mount(target, "/job/new.efi")],
            env={"SOURCE_DATE_EPOCH": str(self.epoch)},
            timeout=_SECONDS,
        )


@contextmanager
def _dpkg_refusals() -> Iterator[None]:
    """What dpkg refuses is a change that the image can't take."""
    try:
        yield
    except ToolError as error:
        raise DefinitionError(
            "dpkg refused the change of packages",
            where="packages",
            details=error.details,
            resolution="add what it misses to packages.install, or leave in what another package needs",
        ) from error


def _boot(source: Source, scratch: Path, bench: Bench) -> _Boot | None:
    """None for an image that starts by other means than a unified kernel image."""
    if source.esp is not None:
        with suppress(DefinitionError):
            esp = read_esp(source, scratch / "esp", sandbox=bench.sandbox)
            return _Boot(esp, take_apart(esp.folder / esp.kernel, scratch / "kernel"))
    return None


def _refuse(order: Order, source: Source, *, boot: _Boot | None, signing: bool) -> None:
    """Raise DefinitionError for what only a sealed image takes, or one with a unified kernel image."""
    file = order.file
    words = file.changes.command_line
    if words.add or words.remove:
        key = "command_line.add" if words.add else "command_line.remove"
        if boot is None:
            raise file.refuse(
                key,
                "the image has no unified kernel image that a command line could be changed in",
                "lay the configuration of its own boot loader over it by files.trees",
            )
        if not signing and not order.dry_run:
            raise file.refuse(
                key,
                "the kernel image of a writable image can't be signed elsewhere yet",
                "customise it where your keys are, without --unsigned",
            )
    for key in ("esp", "root", "verity"):
        if getattr(file.changes.disk, key) is not None:
            raise file.refuse(f"disk.{key}", "a writable image has no slots", "say disk.total: its root takes the rest")
    if file.changes.compression is not None:
        raise file.refuse("compression", "an ext4 root is not compressed", "take the key away")
    if (total := file.changes.disk.total) is not None and total < source.size:
        least = -(-source.size >> 20)
        raise file.refuse("disk.total", "the disk would become smaller", f"say {least}M or more")


def _labelled(changes: TreeChanges, tables: tuple[Path, Path], sandbox: Sandbox) -> TreeChanges:
    """The changes, with the SELinux labels that the image's own table has for what is written."""
    labels = labels_of(((f"/{one.path}", one.mode) for one in changes.new), tables, sandbox)

    def labelled(node: Node) -> Node:
        label = labels.get(f"/{node.path}")
        return replace(node, xattrs=(*node.xattrs, (ATTRIBUTE, attribute(label)))) if label else node

    return replace(changes, new=tuple(labelled(one) for one in changes.new))


def _require_no_attributes(file_system: Ext4, changes: TreeChanges, *, without: str | None) -> None:
    """Raise DefinitionError for a file that would be written anew and lose what it has besides content, mode, and the
    attribute that is named.
    """
    gone = {one.path for one in changes.gone}
    found = file_system.attributes((one.path for one in changes.new if one.path in gone), without=without)
    if found:
        path, attributes = next(iter(found.items()))
        raise DefinitionError(
            "a file with extended attributes would be written anew, and lose them",
            where=f"/{path}",
            details=attributes,
            resolution="leave that file as it is",
        )


def _grown(source: Source, file: ChangesFile) -> Iterator[str]:
    total = file.changes.disk.total
    if total is not None and total != source.size:
        yield f"total: {source.size >> 20}M -> {total >> 20}M"
