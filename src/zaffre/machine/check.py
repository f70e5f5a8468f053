# SPDX-License-Identifier: Apache-2.0
"""Boots an image as it ships and has it prove what is claimed for it: `zaffre check`.

What looks around inside a host is a signed extension on a second disk, laid over the running system by an injected
unit; a server has the programs for it, and gets a seed for cloud-init on that disk. The guest only reports, and the
verdicts are made out here (`judge.py`, `judge_server.py`). One run of QEMU, two boots: some claims are about what a
restart keeps.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from zaffre.errors import DefinitionError
from zaffre.machine.architecture import Architecture
from zaffre.machine.boot import Guest, boot, enlarge
from zaffre.machine.facts import memory_bytes, settings_path
from zaffre.machine.firmware import OwnerCertificates
from zaffre.machine.inject import CHECK_DISK, CHECKED_DISK, UPDATE_DISK, check_credentials, server_check_credentials
from zaffre.machine.judge import judge
from zaffre.machine.judge_selinux import told_denials
from zaffre.machine.judge_server import judge_server
from zaffre.machine.judge_update import HUNG
from zaffre.machine.judging import DISK_GROWS_BY, Expectations, Laid, Step
from zaffre.machine.measure import boot_times
from zaffre.machine.qemu import ConsoleOutput, Machine
from zaffre.machine.report import CheckReport
from zaffre.machine.seed import MEDIUM_DISK, SEED_DISK, make_medium, make_seed, make_update
from zaffre.machine.spec import Accelerator, Network
from zaffre.machine.watch import Watch
from zaffre.measured.prediction import Prediction
from zaffre.progress import SILENT, Progress
from zaffre.sandbox import Sandbox
from zaffre.slots import SIGNED_ONLY
from zaffre.store import Store

CHECK_SECONDS = 300.0
_ED25519 = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"


@dataclass(frozen=True)
class Subject:
    """An image and what it is meant to be: a host with the extension that looks around in it, or a server, which has
    all that it takes. `extension_name` is the name in the extension's release file.

    `settings` and `modules` are the kernel settings (names of sysctl.d(5)) and the modules loaded at boot that
    its definition declares; `root_hash` is the manifest's. `containers` says whether it runs some, `kubelet` whether it
    has one, and the extension a pod for it, `updates` whether it judges its boots and is updated in slots, `encrypted`
    whether its /var is. `configuration`, the name and the image of a confext, is plugged in on a medium. `selinux` and
    `ipe` are the modes that it is to be in, `fips` is one too. `prediction` is what the build says that its boot will
    measure. `checked` is the extension that is laid over it, with its image, if that is what is checked. `update` is
    what brings a host there: `image` is that of the version before then, `earlier` what that one says that its boot
    will measure, and the files are what is handed over to systemd-sysupdate, by name.
    """

    name: str
    image: Path
    extension: Path | None
    certificates: OwnerCertificates
    architecture: Architecture
    extension_name: str = "check"
    root_hash: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    debug: bool = False
    containers: bool = True
    kubelet: bool = False
    updates: bool = False
    every_boot: bool = False
    encrypted: bool = False
    configuration: tuple[str, Path] | None = None
    selinux: str = "off"
    ipe: str = "off"
    fips: bool = False
    prediction: Prediction | None = None
    earlier: Prediction | None = None
    checked: tuple[Laid, Path] | None = None
    update: tuple[Step, Mapping[str, Path]] | None = None
    memory_mib: int = 1024
    cpus: int = 2


def check_image(
    subject: Subject,
    accelerator: Accelerator,
    *,
    store: Store,
    sandbox: Sandbox,
    progress: Progress = SILENT,
    seconds: float = CHECK_SECONDS,
    console: Callable[[bytes], None] | None = None,
    image_policy: str = SIGNED_ONLY,
) -> CheckReport:
    """The report, with failed lines if need be. `console` gets what the serial console prints.

    Raises FindingError when the image doesn't come so far that it could be judged: with the stage at which
    the boot stopped and the console's last lines. Raises WorldError when QEMU itself fails.
    """
    nonce = secrets.token_hex(16)
    paths = tuple(settings_path(key) for key in subject.settings)
    with store.scratch("seed") as scratch:
        if subject.extension is not None:
            disks = {CHECK_DISK: subject.extension}
            checked = subject.checked[0] if subject.checked else None
            credentials = check_credentials(
                nonce=nonce,
                extension=subject.extension_name,
                image_policy=image_policy,
                setting_paths=paths,
                checked=(checked.kind, checked.name) if checked else None,
                update=(subject.update[0].before, subject.update[0].after) if subject.update else None,
            )
            judged = judge
            if subject.checked is not None:
                disks[CHECKED_DISK] = subject.checked[1]
            if subject.configuration is not None:
                name, image = subject.configuration
                disks[MEDIUM_DISK] = scratch / "medium.img"
                make_medium(disks[MEDIUM_DISK], configuration=image, name=name, sandbox=sandbox)
            if subject.update is not None:
                disks[UPDATE_DISK] = scratch / "update.img"
                make_update(disks[UPDATE_DISK], subject.update[1], sandbox=sandbox)
        else:
            disks = {SEED_DISK: scratch / "seed.img"}
            # The public half of a key that nobody has: what is looked at is whether it arrives.
            key = f"ssh-ed25519 {base64.b64encode(_ED25519 + secrets.token_bytes(32)).decode()} {nonce}"
            make_seed(
                disks[SEED_DISK],
                instance="zaffre-check",
                settings={"ssh_authorized_keys": [key]},
                scratch=scratch,
                sandbox=sandbox,
            )
            credentials = server_check_credentials(nonce=nonce, setting_paths=paths)
            judged = judge_server
        guest = Guest(
            image=subject.image,
            architecture=subject.architecture,
            certificates=subject.certificates,
            disks=disks,
            credentials=credentials,
            memory_mib=subject.memory_mib,
            cpus=subject.cpus,
            network=Network.ISOLATED,
        )
        began = time.monotonic()
        with (
            progress.step(f"check {subject.name} in a machine ({accelerator})") as remark,
            boot(guest, accelerator, store=store, sandbox=sandbox) as machine,
        ):
            watch = Watch(time.monotonic(), first=1 if subject.update is None else 0)
            emulated = accelerator is Accelerator.TCG
            _follow(watch, machine, guest, seconds, remark=remark, console=console, emulated=emulated)
    watch.facts.add_outside("selinux.console", watch.console.denials)
    if watch.hung == 1:
        watch.facts.add_outside(HUNG)
    memory = memory_bytes(watch.facts.get("system.memory").text)
    used = memory["MemTotal"] - memory["MemAvailable"] if {"MemTotal", "MemAvailable"} <= memory.keys() else None
    return CheckReport(
        image=subject.name,
        accelerator=str(accelerator),
        lines=judged(watch.facts, _expectations(subject, nonce)),
        boots=tuple(boot_times(watch.facts, n, one) for n, one in enumerate(watch.outsides, start=watch.first) if n),
        memory_used_bytes=used,
        memory_total_bytes=memory.get("MemTotal"),
        seconds=round(time.monotonic() - began, 3),
        denials=told_denials(watch.facts),
        updated_from=subject.update[0].before if subject.update else None,
    )


def _expectations(subject: Subject, nonce: str) -> Expectations:
    owner = subject.certificates
    return Expectations(
        nonce=nonce,
        root_hash=subject.root_hash,
        settings=subject.settings,
        modules=subject.modules,
        certificates={"PK": _der(owner.pk), "KEK": _der(owner.kek), "db": _der(owner.db)},
        debug=subject.debug,
        containers=subject.containers,
        kubelet=subject.kubelet,
        updates=subject.updates,
        every_boot=subject.every_boot,
        encrypted=subject.encrypted,
        configuration=subject.configuration[0] if subject.configuration else None,
        selinux=subject.selinux,
        ipe=subject.ipe,
        fips=subject.fips,
        prediction=subject.prediction,
        earlier=subject.earlier,
        checked=subject.checked[0] if subject.checked else None,
        update=subject.update[0] if subject.update else None,
    )


def _follow(
    watch: Watch,
    machine: Machine,
    guest: Guest,
    seconds: float,
    *,
    remark: Callable[[str], None],
    console: Callable[[bytes], None] | None,
    emulated: bool,
) -> None:
    """All boots to their end; before the second one of what is checked the disk grows."""
    enlarged = False
    deadline = watch.began + seconds
    told = ""
    while not watch.finished:
        now = time.monotonic()
        if (error := watch.stuck(now)) is not None:
            raise error
        if now >= deadline:
            raise watch.out_of_time(seconds)
        if emulated and watch.hangs(now):
            remark(f"boot {watch.boot}: the emulated kernel hangs; started again")
            machine.reset()
        for event in machine.events(min(deadline, now + 1.0)):
            watch.take(event, time.monotonic())
            if isinstance(event, ConsoleOutput) and console is not None:
                console(event.data)
            number = watch.boot
            if number > 1 and not enlarged:
                enlarge(machine, guest, DISK_GROWS_BY)
                enlarged = True
            doing = f"boot {number}: {watch.facts.last(number) or watch.console.stage}"
            if doing != told:
                remark(doing)
                told = doing
            if watch.finished:
                break


def _der(path: Path) -> bytes:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    except (OSError, ValueError) as error:
        raise DefinitionError("the file is no certificate that can be read", where=str(path)) from error
