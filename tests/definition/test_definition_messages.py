# SPDX-License-Identifier: Apache-2.0
"""Each way of writing a definition wrongly, with the message that its author reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import HOST, MAIN, RPMS, UPSTREAM, Workshop

from zaffre.definition import load_distribution
from zaffre.errors import DefinitionError, ExitCode

Broken = Callable[[dict[str, str]], list[str]]

NO_SIZE = 'is not a size: a whole number with K, M, G or T (powers of 1024), such as "96M"'
OF_A_VALUE = [
    # unknown keys
    ("packges = []", "images/a.toml: packges: unknown key (did you mean 'packages'?)"),
    ("command-line = []", "images/a.toml: command-line: unknown key (did you mean 'kernel.command_line'?)"),
    ("[kernel]\nmodlues = []", "images/a.toml: kernel.modlues: unknown key (did you mean 'modules'?)"),
    ("enable = []", "images/a.toml: enable: unknown key (did you mean 'units.enable'?)"),
    (
        '[[users]]\nname = "me"\nuid = 900\nshel = "/bin/sh"',
        "images/a.toml: users[0].shel: unknown key (did you mean 'shell'?)",
    ),
    (
        "[etc]\nzzz = 1",
        "images/a.toml: etc.zzz: unknown key (keys here: persistent)",
    ),
    # wrong types
    ('packages = "systemd"', "images/a.toml: packages: must be a list, not a string"),
    ('packages = ["systemd", 7]', "images/a.toml: packages[1]: must be a string, not a number"),
    ('recommends = "yes"', "images/a.toml: recommends: must be true or false, not a string"),
    ("kernel = true", "images/a.toml: kernel: must be a table, not true or false"),
    ('[[users]]\nname = "me"\nuid = "900"', "images/a.toml: users[0].uid: must be a whole number, not a string"),
    ('[[users]]\nname = "me"', "images/a.toml: users[0].uid: is required"),
    ('[[users]]\nname = "me"\nuid = 0', "images/a.toml: users[0].uid: must be at least 1"),
    ('[[users]]\nname = "me"\nuid = 70000', "images/a.toml: users[0].uid: must be at most 65533"),
    ("description = 2026-01-01", "images/a.toml: description: must be a string, not a date or time"),
    ("[compression]\ncluster = 5000", "images/a.toml: compression.cluster: must be a multiple of 4096"),
    (
        "[sysctl]\nnet.ipv4.ip_forward = 1",
        (
            "images/a.toml: sysctl.net: must be a string or a whole number, not a table"
            ' (write the whole name in quotes: "net.ipv4.ip_forward")'
        ),
    ),
    # wrong values
    (
        'kind = "sysxt"',
        (
            'images/a.toml: kind: must be one of "host", "server", "sysext", "confext", "container", "wsl"'
            " (did you mean 'sysext'?)"
        ),
    ),
    ("kind = 1", 'images/a.toml: kind: must be one of "host", "server", "sysext", "confext", "container", "wsl"'),
    (
        'packages = ["System D"]',
        "images/a.toml: packages[0]: 'System D' is not the name of a package, such as \"iproute2\"",
    ),
    (
        '[disk]\nroot = "96"',
        "images/a.toml: disk.root: '96' " + NO_SIZE,
    ),
    (
        "[disk]\nroot = 96",
        "images/a.toml: disk.root: 96 " + NO_SIZE,
    ),
    ('[disk]\nroot = "5K"', "images/a.toml: disk.root: '5K' is not a multiple of 4K, the size of a block"),
    (
        '[units]\nenable = ["containerd"]',
        (
            "images/a.toml: units.enable[0]: 'containerd' is not a systemd unit with its suffix,"
            ' such as "containerd.service"'
        ),
    ),
    (
        '[prune]\npaths = ["/usr/../etc"]',
        "images/a.toml: prune.paths[0]: '/usr/../etc' is not an absolute path without '.', '..' or a '/' at its end",
    ),
    (
        '[files]\ntrees = ["../secrets"]',
        "images/a.toml: files.trees[0]: '../secrets' is not a path relative to the definition, without '.' or '..'",
    ),
    (
        '[files.owners]\n"/etc/a" = "root:0600"',
        (
            'images/a.toml: files.owners."/etc/a": \'root:0600\' is not an owner "user:group:mode",'
            ' such as "root:systemd-network:0640"'
        ),
    ),
    (
        "[sysctl]\nip_forward = 1",
        "images/a.toml: sysctl.ip_forward: 'ip_forward' is not a kernel setting, such as \"net.ipv4.ip_forward\"",
    ),
    (
        '[compression]\ndev = "zstd,99"',
        (
            "images/a.toml: compression.dev: 'zstd,99' is not a compressor of erofs with its level,"
            ' such as "lz4hc,9", "zstd,12" or "none"'
        ),
    ),
    (
        'provides = ["runc = 1"]',
        'images/a.toml: provides[0]: \'runc = 1\' is not a virtual package, such as "runc" or "runc (= 1.3)"',
    ),
    (
        '[[extract]]\npackage = "containerd"\npaths = []',
        "images/a.toml: extract[0].paths: must not be empty",
    ),
    # inheritance
    ('extends = "hots"', "images/a.toml: extends: there is no image 'hots' (did you mean 'host'?)"),
    ('extends = ["host", "other"]', "images/a.toml: extends[1]: there is no image 'other'"),
    ('profiles = ["kubernetes"]', "images/a.toml: profiles[0]: there is no profile 'kubernetes'"),
    (
        'extends = "a"',
        "images/a.toml: extends: inherits from itself: images/a.toml -> images/a.toml (break the circle)",
    ),
    (
        'extends = "host"\npackages = ["-containrd"]',
        (
            "images/a.toml: packages[0]: '-containrd' takes away 'containrd', which nothing before this file added"
            " (did you mean '-containerd'?)"
        ),
    ),
    (
        'extends = "host"\n[kernel]\nmodules = ["-zzz"]',
        (
            "images/a.toml: kernel.modules[0]: '-zzz' takes away 'zzz', which nothing before this file added"
            " (remove the item)"
        ),
    ),
    ('extends = "host"\npackages = ["crun", "crun"]', "images/a.toml: packages[1]: 'crun' stands twice in this list"),
    ('extends = "host"\npackages = ["crun", "-crun"]', "images/a.toml: packages[1]: 'crun' stands twice in this list"),
    # the merged whole
    ('packages = ["systemd"]', "images/a.toml: kind: is required"),
    ('kind = "host"', "images/a.toml: kernel: a host needs a kernel: package is required"),
    ('kind = "sysext"', "images/a.toml: base: a sysext needs the host image that it extends"),
    ('kind = "sysext"\nbase = "hst"', "images/a.toml: base: there is no image 'hst' (did you mean 'host'?)"),
    ('kind = "sysext"\nbase = "a"', "images/a.toml: base: image 'a' is a sysext, not a host"),
    ('kind = "sysext"\nbase = "host"\n[disk]\nroot = "4M"', "images/a.toml: disk: is not for a sysext"),
    (
        'kind = "container"\npackages = ["libc6"]\n[disk]\nroot = "4M"',
        (
            "images/a.toml: disk: is not for a container"
            ' (a container image boots nowhere: what goes on a disk is of the kind "host" or "server")'
        ),
    ),
    (
        'kind = "container"\npackages = ["libc6"]\n[container]\nbare = true\nchannel = "stable"',
        "images/a.toml: container.channel: is for a package manager, and container.bare says that none comes",
    ),
    (
        'kind = "container"\npackages = ["apt"]\nprovides = ["awk"]',
        (
            "images/a.toml: provides: is not for a container with a package manager, which would find a dependency"
            " missing (name the package itself, or set container.bare)"
        ),
    ),
    ('kind = "container"', "images/a.toml: packages: a container needs at least one package"),
    ('extends = "host"\n[container]\nbare = true', "images/a.toml: container: is not for a host"),
    (
        'kind = "container"\npackages = ["libc6"]\n[container.compression]\nrelease = "gzip"',
        (
            "images/a.toml: container.compression.release: 'gzip' is not a compressor of layers with its level,"
            ' "gzip,1" to "gzip,9" or "zstd,1" to "zstd,19"'
        ),
    ),
    (
        'extends = "host"\n[[users]]\nname = "a"\nuid = 61000',
        "images/a.toml: users[0].uid: 61000 is a number that systemd gives out: choose one below 60000",
    ),
    ('extends = "host"\nbase = "host"', "images/a.toml: base: is not for a host"),
    (
        'extends = "host"\nupstream = "debain"',
        "images/a.toml: upstream: there is no upstream 'debain' in upstreams/ (did you mean 'debian'?)",
    ),
    (
        'extends = "host"\n[units]\nmask = ["containerd.service"]',
        (
            "images/host.toml: units.enable[0]: 'containerd.service' is in units.enable and in units.mask"
            " (images/a.toml: units.mask[0]) (remove one of them;"
            ' "-containerd.service" takes an inherited item away)'
        ),
    ),
    (
        'extends = "host"\n[setuid]\nallow = ["/usr/bin/su"]\nstrip = ["/usr/bin/su"]',
        (
            "images/a.toml: setuid.allow[0]: '/usr/bin/su' is in setuid.allow and in setuid.strip"
            ' (images/a.toml: setuid.strip[0]) (remove one of them; "-/usr/bin/su" takes an inherited item away)'
        ),
    ),
    (
        'extends = "host"\nkind = "server"\n[disk]\nvar_encryption = "tpm2"',
        "images/a.toml: disk.var_encryption: is for a host alone: a server's /var is a folder of its root",
    ),
    (
        'extends = "host"\nkind = "server"\n[selinux]\nmode = "enforcing"',
        (
            "images/a.toml: selinux.mode: takes the package 'policycoreutils' on a server, which labels files when "
            'labels change (the profile "selinux-server" has it)'
        ),
    ),
    *(
        (
            f'extends = "host"\n[selinux]\nmode = "enforcing"\n[kernel]\ncommand_line = ["quiet", "{word}"]',
            (
                "images/a.toml: kernel.command_line[1]: turns SELinux off, and selinux.mode is 'enforcing' "
                "(both say it, or none does)"
            ),
        )
        for word in ("lsm=landlock,apparmor", "lsm=apparmor,selinux", "selinux=0")
    ),
    *(
        (
            f'extends = "host"\n[selinux]\nmode = "{mode}"\n[kernel]\ncommand_line = ["quiet", \'{words}\']',
            (
                f"images/a.toml: kernel.command_line[1]: {key}= is what selinux.mode says, and that is {mode!r} "
                "(take it away, and set selinux.mode)"
            ),
        )
        for mode, key, words in (
            ("enforcing", "enforcing", "enforcing=0"),
            ("enforcing", "enforcing", "enforcing=1"),
            ("permissive", "enforcing", "enforcing=1"),
            ("off", "enforcing", "enforcing=0"),
            ("enforcing", "security", "security=apparmor"),
            ("off", "security", "security=selinux"),
            ("enforcing", "enforcing", "loglevel=4 enforcing=0"),
            ("enforcing", "enforcing", 'dyndbg="file a.c enforcing=0"'),
        )
    ),
    (
        'extends = "host"\n[selinux]\nmode = "enforcing"\n[kernel]\ncommand_line = [\'"selinux=0"\']',
        (
            "images/a.toml: kernel.command_line[0]: turns SELinux off, and selinux.mode is 'enforcing' "
            "(both say it, or none does)"
        ),
    ),
    (
        'extends = "host"\n[kernel]\ncommand_line = ["lsm=landlock,selinux,apparmor"]',
        (
            "images/a.toml: kernel.command_line[0]: turns SELinux on, and selinux.mode is 'off' "
            "(both say it, or none does)"
        ),
    ),
    (
        'kind = "sysext"\nbase = "host"\n[selinux]\nmode = "enforcing"',
        "images/a.toml: selinux: is not for a sysext",
    ),
    (
        'extends = "host"\n[etc]\npersistent = ["/var/lib/me"]',
        "images/a.toml: etc.persistent[0]: '/var/lib/me' is not below /etc",
    ),
    (
        'extends = "host"\n[[users]]\nname = "a"\nuid = 900\n[[users]]\nname = "b"\nuid = 900',
        "images/a.toml: users[1].uid: 900 is used twice, first by images/a.toml: users[0].uid",
    ),
    (
        'extends = "host"\n[files]\ntrees = ["files/hosst"]',
        "images/a.toml: files.trees[0]: there is no directory 'files/hosst' (did you mean 'host'?)",
    ),
    (
        'extends = "host"\n[files]\ntrees = ["files/host"]\n[files.owners]\n"/etc/nothing" = "root:root:0600"',
        'images/a.toml: files.owners."/etc/nothing": no directory of files.trees has this path',
    ),
    (
        'extends = "host"\n[files]\ntrees = ["files/host", "files/other"]',
        "images/a.toml: files.trees[1]: /etc/motd is in 'files/host' and 'files/other'",
    ),
]


@pytest.mark.parametrize(("text", "message"), OF_A_VALUE, ids=[message for _, message in OF_A_VALUE])
def test_a_fault_of_an_image(broken: Broken, workshop: Workshop, text: str, message: str) -> None:
    workshop.write("files/host/etc/motd", "hello")
    workshop.write("files/other/etc/motd", "hello again")
    assert broken({"images/a.toml": text}) == [message]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("zaffre.toml", MAIN.replace("upstream =", "upstraem ="), None),
        (
            "zaffre.toml",
            MAIN.replace('"debian"', '"debain"'),
            "zaffre.toml: defaults.upstream: there is no upstream 'debain' in upstreams/ (did you mean 'debian'?)",
        ),
        (
            "zaffre.toml",
            MAIN.replace("[defaults]", '[defaults]\narchitecture = "arm64"'),
            "zaffre.toml: defaults.architecture: upstream 'debian' has no arm64 (it has amd64)",
        ),
        (
            "upstreams/debian.toml",
            UPSTREAM.replace("deb", "dep", 1),
            'upstreams/debian.toml: family: must be "deb" or "rpm" (did you mean \'deb\'?)',
        ),
        (
            "upstreams/debian.toml",
            UPSTREAM.replace('family = "deb"', ""),
            'upstreams/debian.toml: family: is required (write "deb" or "rpm")',
        ),
        (
            "upstreams/r.toml",
            RPMS + '[[suites]]\narchive = "a"\nsuite = "b"\ncomponents = ["c"]\n',
            (
                "upstreams/r.toml: suites: unknown key (keys here: keyring, architectures, ecosystem, family,"
                " repositories, source_repositories, build_packages, archives)"
            ),
        ),
        (
            "upstreams/r.toml",
            RPMS.replace("main/{basearch}", "../{basearch}"),
            (
                "upstreams/r.toml: repositories[0].path: '../{basearch}' is not a directory below an archive, in which"
                ' "{basearch}" and "{arch}" may stand for the architecture'
            ),
        ),
        (
            "upstreams/r.toml",
            RPMS.replace('"signature"', '"hope"'),
            'upstreams/r.toml: repositories[0].verify: must be one of "signature", "metalink"',
        ),
        (
            "upstreams/r.toml",
            RPMS.replace("max_age_days = 30\n", ""),
            (
                'upstreams/r.toml: repositories[0].max_age_days: is required with verify = "signature":'
                " an old signature is good for ever"
            ),
        ),
        (
            "upstreams/r.toml",
            RPMS.replace('"signature"', '"metalink"'),
            'upstreams/r.toml: repositories[0].metalink: is required with verify = "metalink"',
        ),
        (
            "upstreams/r.toml",
            RPMS.replace('"signature"', '"metalink"\nmetalink = "http://project.example/"'),
            (
                "upstreams/r.toml: repositories[0].metalink: 'http://project.example/' is not an https:// URL, in which"
                ' "{basearch}" and "{arch}" may stand for the architecture'
            ),
        ),
        (
            "upstreams/r.toml",
            RPMS + '[[source_repositories]]\narchive = "rpms"\npath = "source"\nverify = "signature"\n',
            (
                'upstreams/r.toml: source_repositories[0].max_age_days: is required with verify = "signature":'
                " an old signature is good for ever"
            ),
        ),
        (
            "upstreams/r.toml",
            f"{RPMS}[[source_repositories]]{RPMS.partition('[[repositories]]')[2]}",
            "upstreams/r.toml: source_repositories[0]: repository 'main/{basearch}' of 'rpms' is named twice",
        ),
        (
            "upstreams/r.toml",
            RPMS.replace("architectures", 'build_packages = ["rpm build"]\narchitectures'),
            "upstreams/r.toml: build_packages[0]: 'rpm build' is not the name of a package, such as \"iproute2\"",
        ),
        (
            "upstreams/r.toml",
            RPMS + '[archives.rmps]\npath = "rpms"\n',
            "upstreams/r.toml: archives.rmps: no repository is in archive 'rmps' (did you mean 'rpms'?)",
        ),
        (
            "upstreams/debian.toml",
            UPSTREAM.replace("debian.asc", "missing.asc"),
            "upstreams/debian.toml: keyring: cannot read upstreams/keyrings/missing.asc: No such file or directory",
        ),
        (
            "upstreams/keyrings/debian.asc",
            "binary",
            (
                "upstreams/debian.toml: keyring: upstreams/keyrings/debian.asc is not an ASCII-armoured OpenPGP keyring"
                " (make one with `gpg --armor --export`)"
            ),
        ),
        (
            "upstreams/debian.toml",
            UPSTREAM + '[archives.debain]\npath = "debian"\n',
            "upstreams/debian.toml: archives.debain: no suite is in archive 'debain' (did you mean 'debian'?)",
        ),
        (
            "upstreams/debian.toml",
            UPSTREAM + '[[suites]]\narchive = "debian"\nsuite = "trixie"\ncomponents = ["main"]\n',
            "upstreams/debian.toml: suites[1]: suite 'trixie' of 'debian' is named twice",
        ),
        (
            "images/Big Host.toml",
            HOST,
            "images/Big Host.toml: the name of the file must be of lower-case letters, digits, '.', '_' and '-'",
        ),
        (
            "profiles/p.toml",
            'kind = "host"',
            "profiles/p.toml: kind: unknown key (`zaffre schema` lists every key)",
        ),
    ],
)
def test_a_fault_of_another_file(broken: Broken, file: str, text: str, message: str | None) -> None:
    found = broken({file: text})
    if message is None:
        assert found == [
            "zaffre.toml: defaults.upstream: is required",
            "zaffre.toml: defaults.upstraem: unknown key (did you mean 'upstream'?)",
        ]
    else:
        assert found == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = host", "images/a.toml:1:8: this is not TOML: invalid value"),
        (
            'kind = "host"\n[kernel\n',
            "images/a.toml:2:8: this is not TOML: expected ']' at the end of a table declaration",
        ),
        ('packages = ["a"', "images/a.toml:1:16: this is not TOML: unclosed array"),
        ("a = 1\na = 2", "images/a.toml:2:6: this is not TOML: cannot overwrite a value"),
    ],
)
def test_malformed_toml_is_shown_with_line_and_column(broken: Broken, text: str, message: str) -> None:
    assert broken({"images/a.toml": text}) == [
        f"{message} (mend it there, or above: an open bracket or quote shows late)"
    ]


def test_text_that_is_not_utf8(workshop: Workshop) -> None:
    (workshop.root / "images/a.toml").write_bytes(b'kind = "\xff"')
    assert workshop.problems() == ["images/a.toml: is not UTF-8 (byte 8)"]


def test_a_huge_file(broken: Broken) -> None:
    assert broken({"images/a.toml": "#" * (1 << 20) + "#"}) == [
        "images/a.toml: is larger than 1 MB, which no definition is"
    ]


def test_a_file_that_is_a_directory(workshop: Workshop) -> None:
    (workshop.root / "images/a.toml").mkdir()
    assert workshop.problems() == ["images/a.toml: cannot be read: Is a directory"]


def test_a_device_among_the_files(workshop: Workshop) -> None:
    pipe = workshop.write("files/a/x", "").with_name("pipe")
    os.mkfifo(pipe)
    workshop.write("images/a.toml", 'extends = "host"\n[files]\ntrees = ["files/a"]')
    assert workshop.problems() == [
        "images/a.toml: files.trees[0]: files/a/pipe is neither a file, a directory nor a symbolic link"
    ]


def test_a_circle_of_images(broken: Broken) -> None:
    found = broken({"images/a.toml": 'extends = "b"', "images/b.toml": 'extends = ["host", "a"]'})
    assert found == [
        (
            "images/b.toml: extends[1]: inherits from itself: images/a.toml -> images/b.toml -> images/a.toml"
            " (break the circle)"
        ),
        (
            "images/a.toml: extends: inherits from itself: images/b.toml -> images/a.toml -> images/b.toml"
            " (break the circle)"
        ),
    ]


def test_all_errors_of_all_files_are_reported_at_once(workshop: Workshop) -> None:
    workshop.write("zaffre.toml", MAIN.replace('id = "acme"', "id = 1"))
    workshop.write("upstreams/debian.toml", UPSTREAM + "max_age = 3\n")
    workshop.write("images/a.toml", 'extends = "host"\npackages = ["Ä"]\nzzz = 1\n[disk]\nroot = "big"')
    workshop.write("images/b.toml", "[[")
    workshop.write("profiles/p.toml", "[units]\nenable = 1")
    error = workshop.refused()
    assert error.exit_code is ExitCode.USAGE
    assert error.brief == "the definition has 7 errors"
    assert error.where == str(workshop.root)
    assert [line.split(": ", 2)[:2] for line in (error.details or "").splitlines()] == [
        ["zaffre.toml", "distribution.id"],
        ["upstreams/debian.toml", "suites[0].max_age"],
        ["profiles/p.toml", "units.enable"],
        ["images/a.toml", "packages[0]"],
        ["images/a.toml", "disk.root"],
        ["images/a.toml", "zzz"],
        ["images/b.toml:1:3", "this is not TOML"],
    ]


def test_a_fault_of_a_parent_is_told_once_and_at_the_parent(broken: Broken) -> None:
    heirs = {f"images/{name}.toml": 'extends = "host"' for name in "abc"}
    assert broken({**heirs, "images/host.toml": HOST.replace('"96M"', "96")}) == [
        (
            "images/host.toml: disk.root: 96 is not a size: a whole number with K, M, G or T (powers of 1024),"
            ' such as "96M"'
        )
    ]


def test_very_many_errors_are_cut(broken: Broken) -> None:
    found = broken({"images/a.toml": "".join(f"key{n} = 1\n" for n in range(80))})
    assert len(found) == 51
    assert found[-1] == "and 30 more"


def test_one_error_has_its_place_and_suggestion_of_its_own(workshop: Workshop) -> None:
    workshop.write("images/a.toml", "packges = []")
    error = workshop.refused()
    assert (error.where, error.brief, error.resolution) == (
        "images/a.toml: packges",
        "unknown key",
        "did you mean 'packages'?",
    )


def test_a_directory_without_a_distribution(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        load_distribution(tmp_path)
    assert str(caught.value) == f"{tmp_path}: there is no zaffre.toml here"
    assert caught.value.resolution == "name the directory of a distribution, or make one with `zaffre init`"


def test_an_image_that_does_not_exist(workshop: Workshop) -> None:
    with pytest.raises(DefinitionError) as caught:
        workshop.load().image("hst")
    assert caught.value.brief == "there is no image 'hst'"
    assert caught.value.details == "images: host"
    assert caught.value.resolution == "did you mean 'host'?"
