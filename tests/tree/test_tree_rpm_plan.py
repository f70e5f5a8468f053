# SPDX-License-Identifier: Apache-2.0
"""What an RPM package lists is judged before rpm sees it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from rpm_headers import file, folder, header, header_bytes, link, locked

from support.repository import keyring, signing_key
from zaffre.definition import RpmUpstream
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.tree import configured_root
from zaffre.tree.policy import SetuidPolicy
from zaffre.tree.rpm.plan import check_privileges, checked_paths, shipped
from zaffre.tree.rpm.transaction import relation
from zaffre.upstream import Users
from zaffre.upstream.rpm.header import Tag, stored_header


def test_what_a_sound_package_lists() -> None:
    paths = [
        folder("/usr/share/x"),
        file("/usr/share/x/a b.txt"),
        link("/usr/bin/x", "../share/x/a b.txt"),
        link("/etc/localtime", "../usr/share/zoneinfo/UTC"),
        link("/bin", "usr/bin"),
        folder("/", 0o555),
    ]
    found = checked_paths(locked("x"), header("x", paths))
    assert [f"/{one.path}" for one in found] == [path for path, _, _ in paths]
    assert shipped([found]) == {
        "usr/share/x/a b.txt": (1000, 5),
        "usr/bin/x": (1000, "../share/x/a b.txt"),
        "etc/localtime": (1000, "../usr/share/zoneinfo/UTC"),
        "bin": (1000, "usr/bin"),
    }
    assert checked_paths(locked("empty"), header("empty")) == ()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (("/dev/sda", stat.S_IFBLK | 0o660, ""), "a block device"),
        (("/dev/null", stat.S_IFCHR | 0o666, ""), "a character device"),
        (("/run/fifo", stat.S_IFIFO | 0o600, ""), "a named pipe"),
        (("/run/socket", stat.S_IFSOCK | 0o600, ""), "a socket"),
        (("/odd", 0o644, ""), "of kind"),
        (file("/usr/../../etc/passwd"), "'..'"),
        (file("/usr//bin/x"), "empty part"),
        (file("/usr/./x"), "'.'"),
        (file("etc/passwd"), "does not begin at the root"),
        (file("/etc/a\nb"), "control characters"),
        (file("/" + "x" * 5000), "too long"),
        (link("/etc/x", "../../etc/passwd"), "above the root"),
        (link("/x", ".."), "above the root"),
        (link("/x", "/../x"), "above the root"),
        (link("/x", ""), "malformed target"),
    ],
)
def test_what_no_sound_package_lists_is_refused(path: tuple[str, int, str], why: str) -> None:
    with pytest.raises(IntegrityError, match="the package bad is refused") as caught:
        checked_paths(locked("bad"), header("bad", [file("/usr/bin/good"), path]))
    assert why in str(caught.value)
    assert "bad-1.0-1.amd64.rpm" in (caught.value.where or "")


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        (Tag.FILE_MODES, "i"),
        (Tag.FILE_MODES, "l"),
        (Tag.FILE_SIZES, "l"),
        (Tag.FILE_MTIMES, "l"),
        (Tag.FILE_FLAGS, "h"),
        (Tag.DIRINDEXES, "h"),
    ],
)
def test_numbers_of_another_width_than_rpm_reads_are_refused(tag: Tag, kind: str) -> None:
    """rpm would pass over them, or read others than those that were judged."""
    with pytest.raises(IntegrityError, match=f"tag {tag.name} is not numbers of the width"):
        checked_paths(locked("bad"), header("bad", [file("/usr/bin/x")], kinds={tag: kind}))


def test_a_path_listed_twice_is_refused() -> None:
    with pytest.raises(IntegrityError, match="twice"):
        checked_paths(locked("bad"), header("bad", [file("/usr/bin/x"), link("/usr/bin/x", "y")]))


def test_another_name_than_the_locks_is_refused() -> None:
    with pytest.raises(IntegrityError, match="calls itself other"):
        checked_paths(locked("bad"), header("other"))


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(IntegrityError, match="is refused"):
        checked_paths(locked("bad"), header("bad", [file("/a"), file("/b")], sizes=[1]))


@pytest.mark.parametrize("cut", [0, 7, 20, 60])
def test_a_header_that_ends_early_is_none(cut: int) -> None:
    with pytest.raises(ValueError, match=r"header|ends|outside|end"):
        checked_paths(locked("x"), stored_header(header_bytes("x", [file("/a")])[:cut]))


def test_a_file_that_is_no_package_is_refused_before_anything_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "key.asc").write_bytes(keyring(signing_key()))
    package = locked("x").model_copy(update={"sha256": store.add_bytes(b"not a package")})
    upstream = RpmUpstream.model_validate(
        {
            "name": "test",
            "family": "rpm",
            "keyring": "key.asc",
            "keyring_file": tmp_path / "key.asc",
            "architectures": ["amd64"],
            "repositories": [{"archive": "test", "path": "repo", "verify": "signature"}],
        }
    )
    with pytest.raises(IntegrityError, match="x is malformed: it is not an RPM package"):
        configured_root(
            [package],
            upstream=upstream,
            provides=(),
            users=Users(),
            setuid=SetuidPolicy(),
            epoch=0,
            architecture="amd64",
            store=store,
            sandbox=Sandbox(ToolsTree(tmp_path / "nowhere", "tools")),
            progress=SILENT,
        )


def test_what_others_make_may_be_anything() -> None:
    device = ("/dev/net/tun", stat.S_IFCHR | 0o666, "")
    (one,) = checked_paths(locked("x"), header("x", [device], ghosts=["/dev/net/tun"]))
    assert one.ghost
    assert shipped([[one]]) == {}


def test_files_that_give_rights_have_to_be_declared() -> None:
    paths = [file("/bin/su", 0o4755), file("/usr/bin/ping"), file("/usr/bin/plain"), folder("/var/mail", 0o2775)]
    found = checked_paths(locked("x"), header("x", paths, capabilities={"/usr/bin/ping": "cap_net_raw=p"}))
    with pytest.raises(DefinitionError) as caught:
        check_privileges([("x", found)], SetuidPolicy())
    assert caught.value.details == "/usr/bin/ping (x)\n/usr/bin/su (x)"
    check_privileges([("x", found)], SetuidPolicy(allow=("/usr/bin/ping",), strip=("/usr/bin/su",)))


@pytest.mark.parametrize(("target", "place"), [("bin", "usr/bin"), ("../lib", "usr/sbin"), (None, "usr/sbin")])
def test_sbin_is_bin_where_a_package_makes_it_so(target: str | None, place: str) -> None:
    filesystem = [folder("/usr/bin"), link("/usr/sbin", target) if target else folder("/usr/sbin")]
    packages = [
        (name, checked_paths(locked(name), header(name, paths)))
        for name, paths in (("app", [file("/usr/sbin/app", 0o4755), file("/sbin/old")]), ("filesystem", filesystem))
    ]
    assert {f"{place}/app", f"{place}/old"} <= set(shipped([paths for _, paths in packages]))
    check_privileges(packages, SetuidPolicy(allow=(f"/{place}/app",)))
    with pytest.raises(DefinitionError):
        check_privileges(packages, SetuidPolicy(allow=("/sbin/app",)))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("linux-initramfs-tool", "linux-initramfs-tool"),
        ("runc (= 1.3)", "runc = 1.3"),
        ("x (>> 2:1-1)", "x > 2:1-1"),
        ("x = 1", "x = 1"),
    ],
)
def test_provided_names_in_rpms_words(said: str, meant: str) -> None:
    assert relation(said) == meant
