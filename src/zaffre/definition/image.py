# SPDX-License-Identifier: Apache-2.0
"""The model of an image definition: every setting of `images/*.toml` and `profiles/*.toml`, declared once.

`Fragment` is what a profile may say, `ImageFile` what an image's own file may say, `Image` the merged result
that the rest of Zaffre works from. A docstring below a field is its text in the schema and the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from zaffre.definition.forms import Form
from zaffre.definition.ipe import Ipe, IpeMode
from zaffre.definition.selinux import Selinux, SelinuxMode
from zaffre.definition.surface import Surface
from zaffre.definition.update import Update
from zaffre.definition.values import (
    AbsolutePath,
    Architecture,
    ChannelName,
    Compressor,
    ContainerUser,
    Identifier,
    ImageReference,
    Kind,
    LabelKey,
    LaxArchitecture,
    LaxKind,
    LayerCompressor,
    Line,
    Model,
    ModuleName,
    ModulePattern,
    OsReleaseKey,
    Owner,
    PackageName,
    PackagePattern,
    ProvidedName,
    RelativePath,
    Size,
    SysctlKey,
    UnitName,
    UserName,
    VariableName,
)

T = TypeVar("T")

# An enum is written as its value, which strict mode would refuse; the pattern lets heirs take one away.
LaxForm = Annotated[
    Form,
    Field(strict=False),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{'|'.join(Form)})$", "description": "a form of an image"}),
]

# TOML has arrays where a frozen model wants tuples; only that conversion is allowed.
Items = Annotated[tuple[T, ...], Field(strict=False)]


SERIAL_CONSOLES: Mapping[Architecture, str] = {Architecture.AMD64: "ttyS0", Architecture.ARM64: "ttyAMA0"}
"""The first serial port, as the kernel calls it: a 16550 of a PC, a PL011 of an Arm server (SBSA)."""


_SELINUX = "security=selinux"
"""Of the kernel's large security modules only one is on at a time, and Debian's kernel takes AppArmor."""

_SELINUX_MODES: Mapping[SelinuxMode, str] = {
    SelinuxMode.ENFORCING: "enforcing=1",
    SelinuxMode.PERMISSIVE: "enforcing=0",
}

_IPE_ARGUMENTS: Mapping[IpeMode, tuple[str, ...]] = {
    IpeMode.ENFORCING: ("ipe.enforce=1",),
    IpeMode.PERMISSIVE: ("ipe.enforce=0",),
}


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _fixed_id(value: int) -> int:
    """Systemd's table of numbers (UIDS-GIDS.md): 60000 to 65519 are given out at run time, 65534 is nobody's."""
    if 60000 <= value <= 65519:
        message = f"{value} is a number that systemd gives out: choose one below 60000"
        raise ValueError(message)
    return value


FixedId = Annotated[int, Field(ge=1, le=65533), AfterValidator(_fixed_id)]


class Kernel(Model):
    """The kernel of a host."""

    package: PackagePattern | None = None
    """Package that brings the kernel; "{arch}" stands for the architecture."""
    command_line: Items[Line] = ()
    """Arguments of the kernel command line, in order. The root hash is added by the build. "{serial}" stands for the
    architecture's serial console: ttyS0 or ttyAMA0."""
    modules: Items[ModulePattern] = ()
    """Modules (names or glob patterns of names) that stay in the image; what they depend on follows. One that kernels
    of only one architecture have is written "bcmgenet [arm64]"."""
    load: Items[ModuleName] = ()
    """Modules that are loaded at boot, by modules-load.d; those of a host, in the initrd already. They stay in the
    image without being named twice."""


class Initrd(Model):
    """The initrd: a small systemd system made of files of the image's own tree."""

    modules: Items[ModulePattern] = ()
    """Modules that the initrd needs to reach the root, written likewise; what they depend on follows."""
    programs: Items[AbsolutePath] = ()
    """Programs of the tree, with all the libraries that they load."""
    files: Items[AbsolutePath] = ()
    """Further files of the tree, by glob patterns."""
    units: Items[UnitName] = ()
    """systemd units of the tree that belong in the initrd."""
    readahead: Items[AbsolutePath] = ()
    """Large files of the root that the boot needs soon: they are read into memory, after the system manager and its
    libraries, by a processor that has nothing to do yet."""
    tree: RelativePath | None = None
    """Directory of files of our own, laid over the initrd."""


class Files(Model):
    """Files of our own, laid over the root."""

    trees: Items[RelativePath] = ()
    """Directories whose content is laid over the root in this order. Owner is root, mode 0644, or 0755 where
    the file is executable."""
    owners: Mapping[AbsolutePath, Owner] = {}
    """Other owners and modes, by path in the image: "user:group:mode"."""


class User(Model):
    """A user (and its group) that the image has beside those of its packages."""

    name: UserName
    uid: FixedId
    gid: FixedId | None = None
    """Number of its own group; the same as `uid` unless said."""
    home: AbsolutePath = "/nonexistent"
    shell: AbsolutePath = "/usr/sbin/nologin"
    groups: Items[UserName] = ()
    """Further groups that it is a member of."""


class Units(Model):
    """The state of systemd units."""

    enable: Items[UnitName] = ()
    disable: Items[UnitName] = ()
    mask: Items[UnitName] = ()
    default_target: UnitName = "multi-user.target"


class Prune(Model):
    """What is left out of the image."""

    paths: Items[AbsolutePath] = ()
    """Glob patterns of paths to remove; "**" stands for any number of directories."""
    keep: Items[AbsolutePath] = ()
    """Glob patterns of paths that stay although a pattern of `paths` matches them."""


class Setuid(Model):
    """Files with the setuid or setgid bit. One that neither list names stops the build."""

    allow: Items[AbsolutePath] = ()
    """Glob patterns of files that keep the bit."""
    strip: Items[AbsolutePath] = ()
    """Glob patterns of files that lose it."""


class Etc(Model):
    """`/etc` is an overlay that forgets at reboot, except what is named here."""

    persistent: Items[AbsolutePath] = ()
    """Files and directories below /etc that are kept in /var."""


class Tmpfiles(Model):
    """What systemd-tmpfiles does at boot."""

    lines: Items[Line] = ()
    """Lines in the form of tmpfiles.d(5)."""


class VarEncryption(StrEnum):
    """Who holds the key of /var."""

    NONE = "none"
    TPM2 = "tpm2"


class Disk(Model):
    """Sizes of partitions, and whether one is encrypted. Root and verity exist twice, for A/B updates."""

    esp: Size = 256 << 20
    """EFI system partition: boot loader and two kernels."""
    root: Size = 256 << 20
    """One root slot. An update must fit in it, so leave room to grow. For a server: its one root at least, which takes
    the rest of the disk at first boot."""
    verity: Size = 16 << 20
    """One slot of dm-verity hashes."""
    var_min: Size = 512 << 20
    """Least size of /var, which takes the rest of the disk at first boot."""
    var_encryption: Annotated[VarEncryption, Field(strict=False)] = VarEncryption.NONE
    """With "tpm2", /var is encrypted (LUKS2) from its first boot on, and the machine's TPM gives its key to a kernel
    image with the owner's PCR signature, in the state of Secure Boot of that first boot. For a host; the profile
    "encrypted-var" of the reference brings the packages for it."""


class Server(Model):
    """What only a system has that its package manager changes: a server, and one for WSL."""

    tries: Annotated[int, Field(ge=1, le=9)] = 3
    """How often a server starts a new kernel before the one before it is taken again."""
    channel: ChannelName | None = None
    """Channel of the distribution's own repository that the package manager follows, and nothing else. Without it the
    image names no repository."""


class LayerCompression(Model):
    """How the layer of a container image is compressed. Everything reads gzip; zstd is quicker and smaller, and newer
    programs read it."""

    dev: LayerCompressor = "zstd,1"
    """For builds with --profile dev: quick."""
    release: LayerCompressor = "gzip,9"
    """For builds with --profile release: small."""


class Container(Model):
    """What only a container image has."""

    bare: bool = False
    """Whether no script of a package runs: the files of the packages are laid down, and what scanners read of the
    package manager's database, and nothing else comes that is not named or depended on. For images without a shell;
    else the packages are installed, with the essential ones."""
    channel: ChannelName | None = None
    """Channel of the distribution's own repository that the package manager follows, and nothing else. Without it the
    image names no repository."""
    user: ContainerUser | None = None
    """Who the container's process runs as; root unless said."""
    entrypoint: Items[Line] = ()
    command: Items[Line] = ()
    """What is run when nothing else is named; arguments of `entrypoint`, if there is one."""
    environment: Mapping[VariableName, str] = {}
    """Variables besides PATH."""
    directory: AbsolutePath | None = None
    """The working directory."""
    labels: Mapping[LabelKey, Line] = {}
    """Labels besides those of org.opencontainers.image that the build gives."""
    compression: LayerCompression = LayerCompression()


class Compression(Model):
    """How the read-only file systems are compressed (mkfs.erofs -z)."""

    dev: Compressor = "lz4hc,9"
    """For builds with --profile dev: quick."""
    release: Compressor = "zstd,12"
    """For builds with --profile release: small."""
    cluster: Annotated[int, Field(ge=4096, le=1 << 20, multiple_of=4096)] = 65536
    """Greatest size of what is compressed together, in bytes (mkfs.erofs -C)."""


class Extract(Model):
    """Files taken out of a package, for a sysext."""

    package: PackageName
    paths: Annotated[Items[AbsolutePath], Field(min_length=1)]
    """Paths in the package, or glob patterns of them."""
    without: Items[AbsolutePath] = ()
    """Glob patterns of files that such a pattern does not take."""


class Oci(Model):
    """A container image made of files of one package, carried as an OCI archive."""

    name: Identifier
    """The archive is usr/share/zaffre/oci/<name>.tar."""
    ref: ImageReference
    """Name under which it is imported."""
    package: PackageName
    paths: Annotated[Items[AbsolutePath], Field(min_length=1)]
    """Paths in the package that become the container's root."""
    command: Annotated[Items[str], Field(min_length=1)]
    """Entry point with its arguments."""
    unpacked: bool = False
    """Whether its root lies in the extension as files, too: usr/share/zaffre/rootfs/<name>. What a container runtime
    unpacks to /var is not executed on a host with IPE; this is."""


class Fragment(Model):
    """What a profile may say: any part of an image, to be mixed into one by `profiles`."""

    description: Line = ""
    profiles: Items[Identifier] = ()
    """Profiles mixed in before this file, in order."""
    packages: Items[PackageName] = ()
    """Packages to install; what they depend on follows."""
    recommends: bool = False
    """Whether recommended packages are installed too."""
    provides: Items[ProvidedName] = ()
    """Virtual packages that the image supplies by itself, so that no package is installed for them."""
    kernel: Kernel = Kernel()
    initrd: Initrd = Initrd()
    files: Files = Files()
    users: Items[User] = ()
    units: Units = Units()
    sysctl: Mapping[SysctlKey, str | int] = {}
    """Kernel settings, by name."""
    prune: Prune = Prune()
    setuid: Setuid = Setuid()
    etc: Etc = Etc()
    tmpfiles: Tmpfiles = Tmpfiles()
    disk: Disk = Disk()
    update: Update = Update()
    server: Server = Server()
    container: Container = Container()
    compression: Compression = Compression()
    forms: Items[LaxForm] = ()
    """Further forms that the build makes of the image: of its disk, or (tar) of the files in its root."""
    os_release: Mapping[OsReleaseKey, Line] = {}
    """Keys of os-release beside those that the distribution's identity gives."""
    surface: Surface = Surface()
    selinux: Selinux = Selinux()
    ipe: Ipe = Ipe()
    fips: bool = False
    """FIPS mode, for a host: the kernel with fips=1, and OpenSSL's FIPS provider with what it is verified by. Which
    programs use the provider, openssl.cnf says: that of the profile "fips" leaves no other."""
    debug: bool = False
    """A console shell, for development; os-release says that it is there."""
    extract: Items[Extract] = ()
    oci: Items[Oci] = ()
    agent: bool = False
    """Whether a sysext carries the program by which a host follows releases, as usr/lib/zaffre-agent."""


class ImageFile(Fragment):
    """What the file of an image may say."""

    kind: LaxKind | None = None
    """What the image becomes: an immutable "host", a "sysext" laid over its /usr, a "confext" laid over its /etc, a
    "server" that is changed by its package manager, a "container" image, or a distribution for "wsl", the Windows
    Subsystem for Linux."""
    extends: Annotated[
        Items[Identifier],
        BeforeValidator(_one_or_many),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = ()
    """Images that this one starts from, in order: one name or a list. Of an image of another kind it takes only what
    its own kind has a use for."""
    upstream: Identifier | None = None
    """Where packages come from; the distribution's default unless said."""
    architectures: Items[LaxArchitecture] = ()
    """Machines that it is for, the most usual first: "amd64", "arm64". Unless said: those of its base, or the
    distribution's default."""
    base: Identifier | None = None
    """For a sysext and a confext: the host image that it extends."""


class Image(ImageFile):
    """A whole image: its file merged with its parents and profiles, checked for contradictions.

    `extends` and `profiles` are those of the image's own file, for the record.
    """

    name: Identifier
    """The name of its file."""
    kind: LaxKind
    upstream: Identifier

    @property
    def channel(self) -> str | None:
        """The channel that its package manager follows."""
        return self.container.channel or self.server.channel

    @property
    def essential(self) -> bool:
        """Whether the packages come with those that a system of the upstream cannot do without."""
        return not self.container.bare

    def kernel_package(self, architecture: Architecture) -> str | None:
        """Name of the kernel's package on `architecture`; None if the image has no kernel."""
        return self.kernel.package.replace("{arch}", architecture) if self.kernel.package else None

    def kernel_arguments(self, architecture: Architecture) -> tuple[str, ...]:
        """The kernel command line on `architecture`."""
        words = (word.replace("{serial}", SERIAL_CONSOLES[architecture]) for word in self.kernel.command_line)
        modes = (*self._selinux_arguments(), *_IPE_ARGUMENTS.get(self.ipe.mode, ()))
        return (*words, *modes, *(("fips=1",) if self.fips else ()))

    def _selinux_arguments(self) -> tuple[str, ...]:
        """A server's mode is in /etc/selinux/config, where its administrator may change it: systemd does not start a
        system whose command line says `enforcing=1` and whose file says that SELinux is disabled.
        """
        if self.selinux.mode is SelinuxMode.OFF:
            return ()
        return (_SELINUX,) if self.kind is Kind.SERVER else (_SELINUX, _SELINUX_MODES[self.selinux.mode])

    def requested_packages(self, architecture: Architecture) -> tuple[str, ...]:
        """Names that the solver is asked for: packages, kernel, and what files are taken from; sorted, each once."""
        names = {*self.packages, *(item.package for item in self.extract), *(item.package for item in self.oci)}
        if kernel := self.kernel_package(architecture):
            names.add(kernel)
        return tuple(sorted(names))
