# SPDX-License-Identifier: Apache-2.0
"""Unified diffs: what they do to files, in both directions, and what is refused."""

from __future__ import annotations

import contextlib
import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.sources import LIMIT
from zaffre.component.patch import PatchError, RejectedError, apply, parse, paths_of, reverse

OLD = b"".join(b"line %d\n" % number for number in range(1, 21))
NEW = OLD.replace(b"line 4\n", b"line four\n").replace(b"line 15\n", b"").replace(b"line 18\n", b"line 18\nmore\n")


def diff(old: bytes, new: bytes, path: str = "f") -> bytes:
    """What diff -u gives: only a line feed ends a line, and a last line without one is told."""

    def lines(content: bytes) -> list[bytes]:
        parts = [part + b"\n" for part in content.split(b"\n")]
        return [*parts[:-1], *([parts[-1][:-1]] if parts[-1] != b"\n" else [])]

    made = difflib.diff_bytes(difflib.unified_diff, lines(old), lines(new), f"a/{path}".encode(), f"b/{path}".encode())
    return b"".join(line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n" for line in made)


def test_a_patch_and_its_reverse() -> None:
    patch = parse(diff(OLD, NEW))
    assert apply(patch, {"f": OLD}) == {"f": NEW}
    assert apply(reverse(patch), {"f": NEW}) == {"f": OLD}


def test_it_finds_its_place_when_lines_have_moved() -> None:
    patch = parse(diff(OLD, NEW))
    head = b"above\n" * 7
    assert apply(patch, {"f": head + OLD}) == {"f": head + NEW}
    assert apply(parse(diff(head + OLD, head + NEW)), {"f": OLD}) == {"f": NEW}


def test_the_description_and_the_mail_around_it_do_not_count() -> None:
    text = b"From: me\nSubject: x\n\n-- not a file\n" + diff(OLD, NEW) + b"-- \n2.40\n"
    assert apply(parse(text), {"f": OLD}) == {"f": NEW}


def test_what_git_and_others_write_between_files_does_not_count() -> None:
    head = b"diff --git a/f b/f\nindex 0123abc..4567def 100755\n"
    other = b"diff --git a/g b/g\nnew file mode 100644\nindex 000..456\n--- /dev/null\n+++ b/g\n@@ -0,0 +1 @@\n+a\n"
    for between in (
        b"",
        b"\n",
        b"\nIndex: g\n=====\n",
        b"-- \n2.40\n\nFrom 0123 Mon\nSubject: g\n\n- said\n g | 1 +\n",
    ):
        patch = parse(head + diff(OLD, NEW) + between + other)
        assert apply(patch, {"f": OLD}) == {"f": NEW, "g": b"a\n"}


def test_files_are_made_and_deleted() -> None:
    made = b"--- /dev/null\n+++ b/d/new\n@@ -0,0 +1,2 @@\n+a\n+b\n"
    gone = b"--- a/d/new\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n"
    assert apply(parse(made), {}) == {"d/new": b"a\nb\n"}
    assert apply(parse(gone), {"d/new": b"a\nb\n"}) == {"d/new": None}
    assert reverse(parse(made)) == parse(gone)
    with pytest.raises(RejectedError, match="does not apply") as caught:
        apply(parse(made), {"d/new": b"other\n"})
    assert caught.value.details == "d/new, hunk 1: the patch makes this file, and it is there already"
    with pytest.raises(RejectedError) as caught:
        apply(parse(gone), {"d/new": b"a\nb\nc\n"})
    assert "more is in it" in str(caught.value.details)


def test_a_file_that_diff_took_for_empty_is_made() -> None:
    assert apply(parse(b"--- a/n\t1970-01-01\n+++ b/n\n@@ -0,0 +1 @@\n+a\n"), {}) == {"n": b"a\n"}


def test_one_file_twice_in_a_patch() -> None:
    middle = OLD.replace(b"line 4\n", b"line four\n")
    assert apply(parse(diff(OLD, middle) + diff(middle, NEW)), {"f": OLD}) == {"f": NEW}


def test_an_empty_line_of_context_that_lost_its_blank() -> None:
    assert apply(parse(b"--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n"), {"f": b"a\n\nb\n"}) == {"f": b"a\n\nc\n"}


def test_all_that_does_not_fit_is_told_and_nothing_is_done() -> None:
    patch = parse(diff(OLD, NEW) + diff(b"a\n", b"b\n", "other"))
    with pytest.raises(RejectedError) as caught:
        apply(patch, {"f": OLD.replace(b"line 5", b"line V")})
    assert str(caught.value.details).splitlines() == [
        "f, hunk 1: line 5 is 'line V', and the patch expects 'line 5'",
        "other, hunk 1: there is no such file",
    ]


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        (b"nothing\n", None, "the patch holds no change"),
        (b"", None, "the patch holds no change"),
        (b"--- a/f\n+++ b/f\n", "line 3", "a file without a hunk"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n", "line 5", "this line is not of the hunk"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a", "line 5", "the patch ends within a hunk"),
        (b"--- a/f\n+++ b/f\n@@ -1,9 +1,9 @@\n a\n", "line 6", "the patch ends within a hunk"),
        (b"--- a/f\n+++ b/f\n@@ -x +1 @@\n-a\n", "line 3", "this is no head of a hunk: '@@ -x +1 @@'"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n*a\n", "line 4", "this line is not of the hunk"),
        (b"@@ -1 +1 @@\n-a\n+b\n", "line 1", "a hunk without the names of its file"),
        (b"--- a/../../etc/passwd\n+++ b/../../etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "line 1", "leads out of the source"),
        (b"--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "line 1", "leads out of the source"),
        (b"--- f\n+++ f\n@@ -1 +1 @@\n-a\n+b\n", "line 1", "no leading directory"),
        (b"--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n", "line 1", "from no file to no file"),
        (b"diff --git a/x b/y\nrename from x\nrename to y\n", "line 2", "the patch renames a file"),
        (b"GIT binary patch\nliteral 1\n", "line 1", "the patch is binary"),
        (b'--- "a/\\303"\n+++ "b/\\303"\n@@ -1 +1 @@\n-a\n+b\n', "line 1", "is quoted"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n+c\n", "line 6", "more lines than its head promises"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n c\n", "line 6", "more lines than its head promises"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n\n-c\n", "line 7", "more lines than its head promises"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n--- c\n", "line 6", "more lines than its head promises"),
        (b"diff --git a/f b/f\nold mode 100644\nnew mode 100755\n", "line 2", "changes what a file is"),
        (b"diff --git a/f b/f\nnew file mode 100755\n--- /dev/null\n", "line 2", "a program or a link"),
        (b"diff --git a/f b/f\nnew file mode 120000\n--- /dev/null\n", "line 2", "a program or a link"),
        (b"diff --git a/f b/f\ndeleted file mode 120000\n--- a/f\n", "line 2", "a program or a link"),
        (b"diff --git a/f b/f\nindex 0123..4567 120000\n--- a/f\n", "line 2", "a program or a link"),
        (b"--- a/f\n+++ /dev/null\n@@ -1,2 +1 @@\n a\n-b\n", "line 6", "deletes a file and keeps"),
    ],
)
def test_a_malformed_patch(text: bytes, where: str | None, said: str) -> None:
    with pytest.raises(PatchError) as caught:
        parse(text)
    assert caught.value.where == where
    assert said in caught.value.brief


def test_a_line_added_at_the_end_is_not_added_twice() -> None:
    patch = parse(b"--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\n b\n+c\n")
    done = apply(patch, {"f": b"a\nb\n"})["f"] or b""
    with pytest.raises(RejectedError):
        apply(patch, {"f": done})
    assert apply(reverse(patch), {"f": done}) == {"f": b"a\nb\n"}


def test_the_paths_of_a_patch() -> None:
    assert paths_of(parse(LIMIT.encode())) == {"lib/parse.c"}


LINES = st.lists(
    st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"-x\n", b"+x\n", b"@@\n", b"\x0c\r\n", b"\xff\n"]), max_size=25
)
ENDS = st.sampled_from([b"", b"end"])


@given(LINES, ENDS, LINES, ENDS)
def test_whatever_differs_applies_in_both_directions(
    old: list[bytes], end: bytes, new: list[bytes], last: bytes
) -> None:
    before, after = b"".join(old) + end, b"".join(new) + last
    if before == after or not before or not after:  # a patch that makes or empties a file is another case
        return
    patch = parse(diff(before, after))
    assert apply(patch, {"f": before}) == {"f": after}
    assert apply(reverse(patch), {"f": after}) == {"f": before}


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_fail_otherwise(data: bytes) -> None:
    for text in (data, b"--- a/f\n+++ b/f\n" + data, b"--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n" + data):
        with contextlib.suppress(PatchError):
            parse(text)
