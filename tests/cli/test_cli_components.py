# SPDX-License-Identifier: Apache-2.0
"""Components by the command line: started, listed, shown; and drift's findings, each with its exit code."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.shell import Shell
from support.sources import LIMIT, UPSTREAM_PATCH, deb_source, write
from zaffre.component.drift import unapplied
from zaffre.component.pristine import pristine_key
from zaffre.definition import init_distribution, load_distribution
from zaffre.digest import sha256_bytes
from zaffre.errors import ExitCode
from zaffre.store import Store
from zaffre.upstream.lock import (
    Lock,
    LockedComponent,
    LockedFile,
    LockedPackage,
    LockedSet,
    LockedSource,
    Outcome,
    load_lock,
    save_lock,
)

OVERLAY = """
category = "security"
reason = "the parser must not be driven out of memory"
upstream_status = "submitted"
links = ["CVE-2026-1234"]
since = 2026-01-02
until = 2099-01-01
[[operations]]
op = "patch-add"
file = "patches/limit.patch"
"""
FILES = {
    "component.toml": 'description = "XML parser"\n[source]\nkind = "deb-source"\npackage = "expat"\n',
    "overlays/0001-limit.toml": OVERLAY,
    "patches/limit.patch": LIMIT,
}
SOURCE = LockedSource(
    name="expat",
    version="2.7.1-2",
    files=(LockedFile(path="pool/expat_2.7.1-2.dsc", sha256=sha256_bytes(b"dsc"), size=3, archive="debian"),),
)
DIGEST = sha256_bytes(b"any")


class Site:
    """A distribution with one component, a lock, and a store that has the component's source unpacked."""

    def __init__(self, root: Path) -> None:
        self.root = root / "acme"
        self.store = root / "store"
        init_distribution(self.root, id="acme", name="Acme Linux")
        shutil.rmtree(self.root / "components", ignore_errors=True)
        self.folder = write(self.root / "components/expat", FILES)

    def overlay(self, **changes: str) -> None:
        """Rewrite values of the overlay; an empty one takes the key out."""
        lines = []
        for line in OVERLAY.splitlines():
            key = line.partition(" = ")[0]
            if key not in changes:
                lines.append(line)
            elif changes[key]:
                lines.append(f"{key} = {changes[key]}")
        write(self.folder, {"overlays/0001-limit.toml": "\n".join(lines)})

    def lock(self, **component: object) -> None:
        """A lock with one set and the component; what is given of that is changed."""
        package = LockedPackage(
            name="libexpat1",
            version="2.7.1-2",
            architecture="amd64",
            sha256=DIGEST,
            size=1,
            path="pool/libexpat1.deb",
            suite="trixie",
            archive="debian",
            source="expat",
            source_version="2.7.1-2",
        )
        locked = LockedSet(name="tools", architecture="amd64", upstream="debian", request=DIGEST, packages=(package,))
        expat = LockedComponent(
            name="expat",
            architecture="amd64",
            upstream="debian",
            key=DIGEST,
            outcome=Outcome.LOCKED,
            gives=("libexpat1",),
            source=SOURCE,
        ).model_copy(update=component)
        now = datetime(2026, 11, 25, tzinfo=UTC)
        lock = Lock(distribution="acme", created=now, serial=1, suites=(), sets=(locked,), components=(expat,))
        save_lock(lock, self.root / "zaffre.lock")

    def unpack(self) -> None:
        component = load_distribution(self.root).component("expat")
        Store(self.store).add_tree(pristine_key(component, SOURCE), lambda root: deb_source(root) and None)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.lock()
    made.unpack()
    return made


@pytest.fixture
def zaffre(capsys: pytest.CaptureFixture[str], site: Site, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("ZAFFRE_STORE", str(site.store))
    monkeypatch.setenv("ZAFFRE_DISTRO", str(site.root))
    return Shell(capsys)


def test_what_fits_and_has_time_is_current(zaffre: Shell) -> None:
    found = zaffre.json("drift")
    assert (found["components"], found["inherited"]) == (1, 0)
    (one,) = found["deviations"]
    assert one["state"] == "current"
    assert one["reason"] == "the parser must not be driven out of memory"
    assert one["upstream_version"] == "2.7.1-2"
    assert zaffre("drift") == ExitCode.DONE
    assert "nothing has to be looked at" in zaffre.out


def test_an_overlay_without_a_reason_does_not_load(zaffre: Shell, site: Site) -> None:
    site.overlay(reason="")
    assert zaffre("drift") == ExitCode.USAGE
    assert "is required" in zaffre.err
    assert "components/expat/overlays/0001-limit.toml: reason" in zaffre.err


def test_an_obsolete_one(zaffre: Shell, site: Site) -> None:
    write(site.folder, {"patches/limit.patch": UPSTREAM_PATCH})
    (one,) = zaffre.json("drift", code=ExitCode.FINDING)["deviations"]
    assert (one["state"], one["because"]) == ("obsolete", "the source contains this patch: it applies in reverse")


@pytest.mark.parametrize(
    ("until", "because"),
    [
        ("2026-02-01", "it was to be looked at on 2026-02-01"),
        ('"2.7.1"', "the upstream has 2.7.1-2, and it was for versions before 2.7.1"),
    ],
)
def test_an_expired_one(zaffre: Shell, site: Site, until: str, because: str) -> None:
    site.overlay(until=until)
    (one,) = zaffre.json("drift", "expat", code=ExitCode.FINDING)["deviations"]
    assert (one["state"], one["because"]) == ("expired", because)


def test_a_conflicting_one(zaffre: Shell, site: Site) -> None:
    write(site.folder, {"patches/limit.patch": LIMIT.replace("int depth;", "int deep;")})
    assert zaffre("drift") == ExitCode.FINDING
    assert "conflicting  expat" in zaffre.out
    assert "line 1 is 'int depth;', and the patch expects 'int deep;'" in zaffre.out
    assert "1 of 1 deviation must be looked at" in zaffre.out


def test_without_the_source_nothing_is_claimed(zaffre: Shell, site: Site) -> None:
    shutil.rmtree(site.store)
    (one,) = zaffre.json("drift")["deviations"]
    assert (one["state"], one["because"]) == ("unknown", "there is no store yet that could have its source")
    assert not site.store.exists()
    Store(site.store)
    (one,) = zaffre.json("drift")["deviations"]
    assert one["because"] == "the store does not have its source (expat_2.7.1-2.dsc)"
    (site.root / "zaffre.lock").unlink()
    (one,) = zaffre.json("drift")["deviations"]
    assert one["because"] == "the lock does not have it ('zaffre lock')"


def test_overlays_that_are_in_nothing(zaffre: Shell, site: Site) -> None:
    """The upstream's binary was taken, as its source could not be had: no overlay of the component is anywhere."""
    site.lock(outcome=Outcome.UPSTREAM_BINARY, source=LockedSource(name="expat", version="2.7.1-2"), note="it is gone")
    assert zaffre("drift") == ExitCode.FINDING
    assert "unapplied: it is gone" in zaffre.out
    (one,) = zaffre.json("drift", code=ExitCode.FINDING)["deviations"]
    assert (one["state"], one["because"]) == ("unapplied", "it is gone")


def test_an_image_that_takes_what_overlays_are_not_in(site: Site) -> None:
    distribution = load_distribution(site.root)
    for outcome, count in ((Outcome.LOCKED, 0), (Outcome.UPSTREAM_BINARY, 1)):
        site.lock(outcome=outcome)
        lock = load_lock(distribution.lock_file)
        assert lock is not None
        installed = lock.set("tools", "amd64")
        assert len(unapplied(distribution, lock, installed)) == count
        assert not unapplied(distribution, lock, installed.model_copy(update={"packages": ()}))


def test_a_component_that_is_not_there(zaffre: Shell) -> None:
    assert zaffre("drift", "expta") == ExitCode.USAGE
    assert "did you mean 'expat'?" in zaffre.err


class TestNew:
    def test_it_loads_and_its_overlay_is_valid(self, zaffre: Shell, site: Site) -> None:
        made = zaffre.json("component", "new", "lz4")
        assert made["source"] == "lz4"
        assert made["files"] == [
            "components/lz4/README.md",
            "components/lz4/component.toml",
            "components/lz4/overlays/0001-own-build.toml",
        ]
        component = load_distribution(site.root).component("lz4")
        (overlay,) = component.overlays
        assert [one.op for one in overlay.operations] == ["changelog"]
        text = (site.folder.parent / "lz4/overlays/0001-own-build.toml").read_text()
        # What is in comments works too, once it is taken out of them.
        said = re.sub(r"(?m)^# (\[\[|op|file|path|search|replace|field|package|name)", r"\1", text)
        write(site.folder.parent / "lz4", {"overlays/0001-own-build.toml": said, "patches/a-fix.patch": LIMIT})
        assert len(load_distribution(site.root).component("lz4").overlays[0].operations) == 4

    def test_the_source_of_a_binary_package_is_found(self, zaffre: Shell, site: Site) -> None:
        assert zaffre("component", "new", "xml", "--from", "libexpat1") == ExitCode.DONE
        assert "'libexpat1' is built from the source 'expat'" in zaffre.out
        assert load_distribution(site.root).component("xml").source.kind == "deb-source"
        assert 'package = "expat"' in (site.root / "components/xml/component.toml").read_text()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("expat",), "there is a component 'expat' already"),
            (("../expat",), "'../expat' is not a name that a component can have"),
            (("lz4", "--upstream", "debain"), "there is no upstream 'debain'"),
        ],
    )
    def test_nothing_is_left_of_one_that_can_not_be(
        self, zaffre: Shell, site: Site, words: tuple[str, ...], said: str
    ) -> None:
        before = sorted(path for path in site.root.parent.rglob("*") if "store" not in path.parts)
        assert zaffre("component", "new", *words) == ExitCode.USAGE
        assert said in zaffre.err
        assert sorted(path for path in site.root.parent.rglob("*") if "store" not in path.parts) == before


def test_list_and_show(zaffre: Shell) -> None:
    (row,) = zaffre.json("component", "list")
    assert row == {
        "name": "expat",
        "kind": "deb-source",
        "source": "expat",
        "overlays": 1,
        "version": "2.7.1-2",
        "outcome": "locked",
    }
    assert zaffre("component", "show", "expat") == ExitCode.DONE
    assert "security: the parser must not be driven out of memory" in zaffre.out
    assert "patch-add: file 'patches/limit.patch'" in zaffre.out
    shown = zaffre.json("component", "show", "expat")
    assert shown["upstream"] == "debian"
    assert shown["locked"]["gives"] == ["libexpat1"]
    assert zaffre("component", "list") == ExitCode.DONE
    assert "1 overlay" in zaffre.out


def test_an_empty_list_says_how_to_begin(zaffre: Shell, site: Site) -> None:
    shutil.rmtree(site.folder)
    assert zaffre("component", "list") == ExitCode.DONE
    assert "zaffre component new" in zaffre.out
    assert zaffre("drift") == ExitCode.DONE
    assert "0 components" in zaffre.out


def test_why_needs_a_lock_that_has_it(zaffre: Shell, site: Site) -> None:
    (site.root / "zaffre.lock").unlink()
    assert zaffre("component", "why", "expat") == ExitCode.FINDING
    assert "zaffre lock --component expat" in zaffre.err
