# SPDX-License-Identifier: Apache-2.0
"""A sealed image, step by step: verified and unpacked, changed, sealed anew by the code that builds images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zaffre.compare import Details, inventory_details
from zaffre.customiser.apply import apply_changes, refuse_var
from zaffre.customiser.assembly import (
    HASHES,
    INVENTORY,
    KERNEL,
    ROOT,
    Assembly,
    Layout,
    assemble,
    facts_of,
    finish,
    require_fit,
)
from zaffre.customiser.bench import Bench, Order
from zaffre.customiser.changes import ChangesFile
from zaffre.customiser.kernel import changed_words, put_together, require_unsigned_root
from zaffre.customiser.report import Report, ToSign
from zaffre.customiser.signatures import signatures_of, strip_signatures
from zaffre.customiser.source import Source
from zaffre.customiser.unpack import Unpacked, extract_erofs, unpack_sealed
from zaffre.customiser.waiting import emit
from zaffre.definition import Compression as Compressions
from zaffre.digest import sha256_file
from zaffre.image.fresh import fresh_directory, remove_leftovers
from zaffre.image.policy import labels_in
from zaffre.image.seal import Compression, make_erofs, make_verity
from zaffre.image.system import mkfs_option
from zaffre.image.uki import sign_pe
from zaffre.store import Stopwatch, copy_sparse, require_room
from zaffre.tree import Inventory, inventory_of, inventory_text, scratch_for

_TREE_PER_IMAGE = 6
"""How much larger two trees are than the compressed image of one, as a rule."""
_ALIGNED = 4 << 20


@dataclass(frozen=True)
class _Changed:
    """The tree after its changes, and what they were."""

    root: Path
    inventory: Inventory
    details: Details


def customise_sealed(source: Source, order: Order, bench: Bench) -> Report:
    """Do what `order` says. Raises DefinitionError for what it asks in vain, IntegrityError for a damaged image."""
    watch = Stopwatch()
    _refuse(order.file)
    with bench.store.scratch("customise") as scratch:
        with bench.progress.step("read and verify") as remark:
            image = unpack_sealed(source, scratch, sandbox=bench.sandbox)
            remark(f"{image.erofs.size / 1e6:.1f} MB")
        require_unsigned_root(image.kernel, where=str(source.path))
        layout = _layout(image, order.file)
        work = _Work(order, bench, image, scratch, watch)
        with work.changed() as changed:
            report = Report(
                image=str(source.path),
                form=source.form,
                architecture=source.architecture,
                signatures=signatures_of(image.esp.folder, image.esp.kernel, image.esp.loader),
                details=changed.details,
                grown=tuple(_grown(_layout(image, None), layout)),
            )
            if order.dry_run:
                return report
            remove_leftovers(order.out.parent)
            with fresh_directory(order.out) as folder:
                require_room(folder, 3 * image.erofs.size)
                sealed = work.seal(changed, _assembly(image, order, layout, bench), folder)
                to_sign = work.finish(sealed, folder)
        return report.model_copy(update={"directory": str(order.out), "to_sign": to_sign})


@dataclass(frozen=True)
class _Work:
    """One customisation: what is asked for, the verified image, and a folder that is removed in the end."""

    order: Order
    bench: Bench
    image: Unpacked
    scratch: Path
    watch: Stopwatch

    @property
    def unsigned(self) -> Path:
        return self.scratch / "unsigned.efi"

    @contextmanager
    def changed(self) -> Iterator[_Changed]:
        """The changed tree, as long as the block runs."""
        image, file, bench = self.image, self.order.file, self.bench
        words = changed_words(image.kernel.command_line, file)
        expected = _TREE_PER_IMAGE * image.erofs.size
        with scratch_for(bench.store, "customise", expected=expected) as memory:
            root = memory / "root"
            with bench.progress.step("change") as remark:
                extract_erofs(self.scratch / "old.erofs", root, sandbox=bench.sandbox)
                before = inventory_of(root, command_line=image.kernel.command_line)
                apply_changes(root, file, epoch=_epoch(image, self.order), sandbox=bench.sandbox)
                trees = {tree: file.root / tree for tree in file.changes.files.trees}
                after = inventory_of(root, command_line=words, trees=trees)
                details = inventory_details(before, after)
                remark(f"{len(details.files)} paths")
            yield _Changed(root, after, details)

    def seal(self, changed: _Changed, assembly: Assembly, folder: Path) -> Assembly:
        """Write root, hash tree and inventory to `folder` and the unsigned kernel image to the scratch folder."""
        image, file, sandbox = self.image, self.order.file, self.bench.sandbox
        target, compressor = folder / ROOT, file.changes.compression
        with self.bench.progress.step("seal") as remark:
            if file.changes.of_tree or compressor:
                make_erofs(
                    changed.root,
                    target,
                    compression=_compression(image, compressor),
                    epoch=assembly.epoch,
                    label=image.erofs.label,
                    sandbox=sandbox,
                    labels=labels_in(changed.root),
                )
            else:
                copy_sparse(self.scratch / "old.erofs", target)
            root_hash = make_verity(target, folder / HASHES, digest=sha256_file(target), sandbox=sandbox)
            remark(f"{target.stat().st_size / 1e6:.1f} MB")
        (folder / INVENTORY).write_text(inventory_text(changed.inventory))
        put_together(
            image.kernel,
            self.unsigned,
            words=changed_words(image.kernel.command_line, file, root_hash=root_hash),
            architecture=image.source.architecture,
            epoch=assembly.epoch,
            sandbox=sandbox,
        )
        sealed = assembly.model_copy(update={"root_hash": root_hash})
        require_fit(sealed, folder, kernel=self.unsigned)
        return sealed

    def finish(self, assembly: Assembly, folder: Path) -> tuple[ToSign, ...]:
        """Sign and write the disk; without keys, write down what is to be signed."""
        esp, bench = self.image.esp, self.bench
        loader = self.scratch / "loader.efi"
        strip_signatures(esp.folder / esp.loader, loader, sandbox=bench.sandbox)
        for name in (esp.kernel, esp.loader):
            (esp.folder / name).unlink()
        if bench.keys is None:
            return emit(assembly, folder, kernel=self.unsigned, loader=loader, esp=esp.folder)
        signed = self.scratch / "signed-loader.efi"
        with bench.progress.step("sign"):
            for one, target in ((self.unsigned, folder / KERNEL), (loader, signed)):
                sign_pe(one, target, keys=bench.keys, epoch=assembly.epoch, sandbox=bench.sandbox)
        with bench.progress.step("disk"):
            assemble(
                assembly,
                folder,
                esp=esp.folder,
                loader=signed,
                certificate=bench.keys.db_certificate,
                scratch=self.scratch,
                sandbox=bench.sandbox,
            )
            finish(assembly, folder, bench.signer, self.watch, kind="host")
        return ()


def _refuse(file: ChangesFile) -> None:
    refuse_var(file)
    for key in ("install", "remove"):
        if getattr(file.changes.packages, key):
            raise file.refuse(
                f"packages.{key}",
                "a sealed image has no package manager, and its database of packages is for reading only",
                "change the packages in the image's definition, or lay single files over it by files.trees",
            )


def _compression(image: Unpacked, compressor: str | None) -> Compression:
    """As asked for, else by the algorithm of the image, whose level it does not tell: quickly."""
    chosen = image.erofs.algorithm if compressor is None else mkfs_option(compressor)
    return Compression(chosen, Compressions().cluster)


def _epoch(image: Unpacked, order: Order) -> int:
    return image.erofs.epoch if order.epoch is None else order.epoch


def _layout(image: Unpacked, file: ChangesFile | None) -> Layout:
    """As the image has it, with what the changes let grow. Raises DefinitionError for what would shrink."""
    source = image.source
    esp = source.esp.size if source.esp else 0
    slots = 2 * (image.data.size + image.tree.size)
    old = Layout(esp=esp, root=image.data.size, verity=image.tree.size, var=source.size - esp - slots - _ALIGNED)
    if file is None:
        return old
    sizes = file.changes.disk
    for key, wanted, had in (
        ("esp", sizes.esp, old.esp),
        ("root", sizes.root, old.root),
        ("verity", sizes.verity, old.verity),
    ):
        if wanted is not None and wanted < had:
            raise file.refuse(
                f"disk.{key}", f"it has {had >> 20}M already, and cannot shrink", f"say {had >> 20}M or more"
            )
    new = _with_sizes(old, esp=sizes.esp, root=sizes.root, verity=sizes.verity)
    if sizes.total is None:
        return new
    fixed = new.esp + 2 * (new.root + new.verity) + _ALIGNED
    if sizes.total < fixed + old.var:
        least = -(-(fixed + old.var) >> 20)
        raise file.refuse("disk.total", "the disk would become smaller than its parts", f"say {least}M or more")
    return new.model_copy(update={"var": sizes.total - fixed})


def _with_sizes(old: Layout, **sizes: int | None) -> Layout:
    return old.model_copy(update={key: value for key, value in sizes.items() if value is not None})


def _grown(old: Layout, new: Layout) -> Iterator[str]:
    for key, before in old:
        after = getattr(new, key)
        if after != before:
            yield f"{key}: {before >> 20}M -> {after >> 20}M"


def _assembly(image: Unpacked, order: Order, layout: Layout, bench: Bench) -> Assembly:
    name, _, version = image.data.label.rpartition("_")
    facts = facts_of(
        image.source,
        name=name,
        version=version,
        debug="DEBUG=1" in image.kernel.os_release.splitlines(),
        epoch=_epoch(image, order),
        changes=order.file.digest,
        tools=bench.sandbox.tools.key,
    )
    # The partitions are found by their labels, whatever a manifest says.
    return Assembly(
        **{**dict(facts), "name": name, "version": version},
        layout=layout,
        kernel=image.esp.kernel,
        loader=image.esp.loader,
    )
