# SPDX-License-Identifier: Apache-2.0
"""Overlays moved onto another version of the upstream: clean, made anew, obsolete, in conflict; and drift's states."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.sources import LIMIT, component, deb_source, operation, write
from zaffre.component import patch as patches
from zaffre.component.drift import Deviation, Examined, State, drift
from zaffre.component.examine import examine
from zaffre.component.outcome import Fit, Outcome
from zaffre.component.threeway import merge
from zaffre.component.update import Verdict, plan_update, write_update
from zaffre.component.upstreamversion import reached
from zaffre.definition import Component
from zaffre.errors import DefinitionError

ADD_PATCH = operation('op = "patch-add"\nfile = "patches/limit.patch"')
EDIT = operation('op = "search-replace"\npath = "README"\nsearch = "expat"\nreplace = "Acme expat"')
OLD = "int depth;\nint parse(void) {\nreturn 0;\n}\nint last;\nint fixed;\n"


class Move:
    """Two versions of a source and a component's folder."""

    def __init__(self, root: Path) -> None:
        self.old = deb_source(root / "old")
        self.new = deb_source(root / "new")
        self.folder = write(root / "component", {"patches/limit.patch": LIMIT, "files/x.c": "int x;\n"})
        self.scratch = root / "scratch"
        self.scratch.mkdir()

    def plan(self, *overlays: str, old: bool = True) -> tuple[Verdict, ...]:
        before = {
            path: path.read_bytes() for base in (self.old, self.new) for path in base.rglob("*") if path.is_file()
        }
        found = plan_update(
            component(*overlays),
            folder=self.folder,
            old=self.old if old else None,
            new=self.new,
            scratch=self.scratch,
        )
        assert {path: path.read_bytes() for path in before} == before
        assert [*self.scratch.iterdir()] == []
        return found

    def examine(self, *overlays: str) -> tuple[Outcome, ...]:
        return examine(component(*overlays), folder=self.folder, source=self.new, scratch=self.scratch)


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return Move(tmp_path)


def test_what_fits_is_clean(move: Move) -> None:
    write(move.new, {"lib/parse.c": "/* new */\n" + OLD})
    assert [one.fit for one in move.plan(ADD_PATCH, EDIT)] == [Fit.CLEAN, Fit.CLEAN]


def test_what_the_upstream_has_is_obsolete_and_the_others_are_not(move: Move) -> None:
    write(move.new, {"lib/parse.c": OLD.replace("int depth;\n", "int depth;\nint limit = 100;\n")})
    first, second = move.plan(ADD_PATCH, EDIT)
    assert (first.fit, first.outcome.why) == (Fit.OBSOLETE, "the source contains this patch: it applies in reverse")
    assert second.fit is Fit.CLEAN


def test_a_patch_beside_a_change_of_the_upstream_is_made_anew(move: Move) -> None:
    write(move.new, {"lib/parse.c": OLD.replace("return 0;", "return 1;")})
    (verdict,) = move.plan(ADD_PATCH)
    assert verdict.fit is Fit.CLEAN
    text = verdict.refreshed["patches/limit.patch"]
    assert text.startswith(b"Description: a limit\n--- a/lib/parse.c\n+++ b/lib/parse.c\n")
    made = patches.apply(patches.parse(text), {"lib/parse.c": (move.new / "lib/parse.c").read_bytes()})
    assert (
        made["lib/parse.c"] == b"int depth;\nint limit = 100;\nint parse(void) {\nreturn 1;\n}\nint last;\nint fixed;\n"
    )


def test_an_overlay_after_one_that_was_made_anew(move: Move) -> None:
    write(move.new, {"lib/parse.c": OLD.replace("return 0;", "return 1;")})
    later = operation('op = "search-replace"\npath = "lib/parse.c"\nsearch = "limit = 100"\nreplace = "limit = 5"')
    assert [one.fit for one in move.plan(ADD_PATCH, later)] == [Fit.CLEAN, Fit.CLEAN]


def test_a_conflict_is_shown_from_three_sides(move: Move) -> None:
    write(move.new, {"lib/parse.c": OLD.replace("int depth;\nint parse", "int depth;\nint limit = 7;\nint parse")})
    (verdict,) = move.plan(ADD_PATCH)
    assert verdict.fit is Fit.CONFLICT
    (shown,) = verdict.conflicts["lib/parse.c"]
    assert shown == (
        "@@ line 2 @@\nint depth;\n<<<<<<< the upstream's new version\nint limit = 7;\n"
        "||||||| its old version\n=======\n"
        "int limit = 100;\n>>>>>>> with the overlay\nint parse(void) {\nreturn 0;\n}\n"
    )


def test_a_conflict_leaves_the_source_to_the_overlays_after_it(move: Move) -> None:
    write(move.new, {"lib/parse.c": "other\n"})
    half = EDIT + operation('op = "file-remove"\npath = "gone"')
    again = operation('op = "search-replace"\npath = "README"\nsearch = "expat"\nreplace = "other"\ncount = 1')
    first, second = move.plan(half, again)
    assert (first.fit, first.outcome.where) == (
        Fit.CONFLICT,
        "components/expat/overlays/0001-x.toml: operations[1].path",
    )
    assert second.fit is Fit.CLEAN


def test_without_the_old_source_a_conflict_is_only_told(move: Move) -> None:
    write(move.new, {"lib/parse.c": OLD.replace("return 0;", "return 1;")})
    (verdict,) = move.plan(ADD_PATCH, old=False)
    assert verdict.fit is Fit.CONFLICT
    assert not verdict.conflicts
    assert "line 3 is 'return 1;'" in verdict.outcome.details


@pytest.mark.parametrize(
    ("words", "files"),
    [
        ('op = "file-add"\npath = "lib/x.c"\nfile = "files/x.c"', {"lib/x.c": "int x;\n"}),
        ('op = "file-replace"\npath = "README"\nfile = "files/x.c"', {"README": "int x;\n"}),
        (
            'op = "depends-add"\nfield = "depends"\npackage = "expat"\nrelation = "libc6 (>= 2)"',
            {"debian/control": "Source: expat\n\nPackage: expat\nArchitecture: any\nDepends: libc6 (>=2)\n"},
        ),
        (
            'op = "package-split"\npackage = "expat"\nname = "xmlwf"\ndescription = "x"\npaths = ["usr/bin/xmlwf"]',
            {"debian/control": "Source: expat\n\nPackage: expat\n\nPackage: xmlwf\n"},
        ),
    ],
)
def test_other_operations_that_the_upstream_did_too(move: Move, words: str, files: dict[str, str]) -> None:
    write(move.new, files)
    assert [one.fit for one in move.plan(operation(words))] == [Fit.OBSOLETE]


def test_what_is_needed_in_part_is_no_more_obsolete_than_clean(move: Move) -> None:
    write(move.new, {"lib/x.c": "int x;\n"})
    (one,) = move.examine(operation('op = "file-add"\npath = "lib/x.c"\nfile = "files/x.c"') + EDIT)
    assert one.fit is Fit.CONFLICT
    assert one.why == "the source has 'lib/x.c' with this very content; the other operations are still needed"


def test_a_source_that_is_none(move: Move) -> None:
    (move.new / "debian/control").unlink()
    with pytest.raises(DefinitionError, match="this is no Debian source"):
        move.examine(ADD_PATCH)


class TestWriting:
    def test_it_is_done_when_it_was_agreed_to(self, move: Move) -> None:
        write(move.folder, {"overlays/0001-x.toml": "", "overlays/0002-x.toml": ""})
        write(move.new, {"README": "int x;\n", "lib/parse.c": OLD.replace("return 0;", "return 1;")})
        replaced = operation('op = "file-replace"\npath = "README"\nfile = "files/x.c"')
        verdicts = move.plan(replaced, ADD_PATCH)
        made = component(replaced, ADD_PATCH)
        assert write_update(made, verdicts, folder=move.folder, obsolete=False) == ("patches/limit.patch",)
        assert (move.folder / "overlays/0001-x.toml").exists()
        assert write_update(made, verdicts, folder=move.folder, obsolete=True) == (
            "patches/limit.patch",
            "overlays/0001-x.toml",
            "files/x.c",
        )
        assert sorted(path.name for path in move.folder.rglob("*") if path.is_file()) == ["0002-x.toml", "limit.patch"]
        assert b"return 1;" in (move.folder / "patches/limit.patch").read_bytes()

    def test_a_file_that_another_overlay_brings_too_stays(self, move: Move) -> None:
        write(move.folder, {"overlays/0001-x.toml": "", "overlays/0002-x.toml": ""})
        write(move.new, {"README": "int x;\n"})
        first = operation('op = "file-replace"\npath = "README"\nfile = "files/x.c"')
        second = operation('op = "file-add"\npath = "other.c"\nfile = "files/x.c"')
        verdicts = move.plan(first, second)
        write_update(component(first, second), verdicts, folder=move.folder, obsolete=True)
        assert (move.folder / "files/x.c").exists()


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n"]), max_size=12).map(b"".join)


@given(LINES, LINES)
def test_a_merge_with_one_change_is_that_change(base: bytes, changed: bytes) -> None:
    assert merge(base, base, changed).content == changed
    assert merge(base, changed, base).content == changed
    assert merge(base, changed, changed).content == changed


TODAY = dt.date(2026, 6, 1)


class TestDrift:
    """The states, from what is known."""

    def judged(
        self, made: Component, *, version: str | None = "2.7.1-2", examined: Examined | None = None
    ) -> Deviation:
        clean = Examined(tuple(Outcome(one, Fit.CLEAN) for one in made.overlays))
        versions = {} if version is None else {made.name: version}
        found = drift([made], today=TODAY, versions=versions, examined=lambda _: examined or clean)
        (deviation,) = found.deviations
        return deviation

    def until(self, value: str) -> Component:
        made = component(EDIT)
        (overlay,) = made.overlays
        end = dt.date.fromisoformat(value) if value.count("-") == 2 else value
        return made.model_copy(update={"overlays": (overlay.model_copy(update={"until": end}),)})

    def test_current_with_its_reason_and_age(self) -> None:
        found = self.judged(self.until("2027-01-01"))
        assert (found.state, found.because, found.age_days) == (State.CURRENT, "", 151)
        assert found.reason == "the parser must not be driven out of memory"

    @pytest.mark.parametrize(
        ("until", "version", "state", "because"),
        [
            ("2026-06-01", None, State.EXPIRED, "it was to be looked at on 2026-06-01"),
            ("2026-06-02", None, State.CURRENT, ""),
            ("2.7.2", "2.7.1-2", State.CURRENT, ""),
            ("2.7.2", "2.7.2-1", State.EXPIRED, "the upstream has 2.7.2-1, and it was for versions before 2.7.2"),
            ("2.7.2", "2.7.2~rc1-1", State.CURRENT, ""),
            ("2.7.2", "1:2.7.1-1", State.CURRENT, ""),
            (
                "1:2.7.2",
                "1:2.7.3-1",
                State.EXPIRED,
                "the upstream has 1:2.7.3-1, and it was for versions before 1:2.7.2",
            ),
            ("2.7.2", None, State.UNKNOWN, "the lock has no version of the upstream's to compare 2.7.2 with"),
            ("2.7.2", "a_b", State.UNKNOWN, "'a_b' is not a Debian version"),
        ],
    )
    def test_expired(self, until: str, version: str | None, state: State, because: str) -> None:
        found = self.judged(self.until(until), version=version)
        assert (found.state, found.because) == (state, because)

    def test_obsolete_and_conflicting_come_from_the_source(self) -> None:
        made = self.until("2026-01-02")
        (overlay,) = made.overlays
        for fit, state in ((Fit.OBSOLETE, State.OBSOLETE), (Fit.CONFLICT, State.CONFLICTING)):
            found = self.judged(made, examined=Examined((Outcome(overlay, fit, "so it is", "x.toml"),)))
            assert found.state is state
            assert found.state.finding
            assert found.because.endswith("so it is")

    def test_what_could_not_be_seen_is_unknown_and_no_finding(self) -> None:
        found = self.judged(self.until("2027-01-01"), examined=Examined(unknown="the store does not have its source"))
        assert (found.state, found.because) == (State.UNKNOWN, "the store does not have its source")
        assert not found.state.finding

    def test_it_may_be_expired_though_the_source_was_not_seen(self) -> None:
        assert self.judged(self.until("2026-01-02"), examined=Examined(unknown="x")).state is State.EXPIRED

    def test_inherited_components_are_counted_and_not_looked_at(self) -> None:
        def never(_: Component) -> Examined:
            raise AssertionError

        own = component(
            source='kind = "go-module"\nmodule = "m/m"\nversion = "v1.0.0"\npackages = ["."]\n'
            'sum = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="'
        )
        found = drift([component(), component(), own], today=TODAY, versions={}, examined=never)
        assert (found.components, found.inherited, found.own, found.deviations) == (3, 2, 1, ())


@pytest.mark.parametrize(
    ("version", "until", "kind", "said"),
    [
        ("v1.34.0-rc.1", "v1.34.0", "go-module", False),
        ("v1.34.1", "v1.34.0", "go-module", True),
        ("v1.9.0", "v1.34.0", "go-module", False),
        ("2.7.1-3.fc42", "2.7.2", "rpm", False),
        ("2.7.2-1.fc42", "2.7.2", "rpm", True),
        ("2.7.2~rc1-1.fc42", "2.7.2", "rpm", False),
        ("2.7.2^git1-1.fc42", "2.7.2", "rpm", True),
        ("2.7.2_1-1", "2.7.2", "rpm", True),
    ],
)
def test_versions_of_other_kinds(version: str, until: str, kind: str, *, said: bool) -> None:
    assert reached(version, until, kind) is said
