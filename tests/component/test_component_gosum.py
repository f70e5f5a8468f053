# SPDX-License-Identifier: Apache-2.0
"""Checksums of Go modules: the values of published modules are the oracle, hostile zips are refused."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from zaffre.component.gosum import GoFile, h1, parse_go_sum, sum_of_mod, sum_of_zip, unpack_zip
from zaffre.definition.values import GoModulePath
from zaffre.errors import IntegrityError

PROBE = GoFile("example.org/Probe", "v1.2.3")


def zipped(files: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_the_sum_of_a_published_go_mod() -> None:
    # From the go.sum of many projects: github.com/pkg/errors v0.9.1/go.mod
    assert sum_of_mod(b"module github.com/pkg/errors\n") == "h1:bwawxfHBFNV+L2hUp1rHADufV3IMtnDRdf1r5NINEl0="


def test_a_sum_depends_on_names_and_contents_and_on_nothing_else() -> None:
    one = zipped({"example.org/Probe@v1.2.3/go.mod": "module x", "example.org/Probe@v1.2.3/a.go": "package x"})
    other = zipped({"example.org/Probe@v1.2.3/a.go": "package x", "example.org/Probe@v1.2.3/go.mod": "module x"})
    assert one != other
    assert sum_of_zip(one, PROBE) == sum_of_zip(other, PROBE)
    changed = zipped({"example.org/Probe@v1.2.3/go.mod": "module x", "example.org/Probe@v1.2.3/a.go": "package y"})
    assert sum_of_zip(changed, PROBE) != sum_of_zip(one, PROBE)


def test_capitals_are_escaped_in_paths() -> None:
    assert PROBE.path == "example.org/!probe/@v/v1.2.3.zip"
    assert GoFile("a/b", "v1.0.0-RC1", mod=True).path == "a/b/@v/v1.0.0-!r!c1.mod"


@pytest.mark.parametrize(
    "name",
    [
        "example.org/Probe@v1.2.3/../../etc/passwd",
        "example.org/Other@v1.2.3/a.go",
        "/etc/passwd",
        "example.org/Probe@v1.2.3//a.go",
        "example.org/Probe@v1.2.3/./a.go",
        "example.org/Probe@v1.2.3/a\nb.go",
        "example.org/Probe@v1.2.3/a\x7f.go",
        "example.org/Probe@v1.2.3/a\\..\\b.go",
        "example.org/Probe@v1.2.3/c:a.go",
        "example.org/Probe@v1.2.3/a./b.go",
        "example.org/Probe@v1.2.3/sub/NUL.go",
        "example.org/Probe@v1.2.3/folder/",
    ],
)
def test_a_zip_with_paths_of_no_module(tmp_path: Path, name: str) -> None:
    content = zipped({name: "x"})
    with pytest.raises(IntegrityError, match="a path that no module has"):
        sum_of_zip(content, PROBE)
    (tmp_path / "zip").write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(IntegrityError):
        unpack_zip(tmp_path / "zip", PROBE, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_two_files_are_not_told_as_one() -> None:
    """A name with the line of another file in it would have the checksum of both files."""
    one, other = (hashlib.sha256(content).digest() for content in (b"package a", b"package b"))
    merged = f"m@v1/a.go\n{other.hex()}  m@v1/b.go"
    with pytest.raises(IntegrityError, match="control characters"):
        h1({merged: one})
    assert h1({"m@v1/a.go": one, "m@v1/b.go": other}) == h1([("m@v1/b.go", other), ("m@v1/a.go", one)])


def test_a_name_that_ends_at_a_nul_is_not_cut_off() -> None:
    content = zipped({"example.org/Probe@v1.2.3/a.go#b.go": "x"}).replace(b"a.go#b.go", b"a.go\0b.go")
    with pytest.raises(IntegrityError, match="a path that no module has"):
        sum_of_zip(content, PROBE)


def test_names_that_some_file_systems_do_not_tell_apart() -> None:
    content = zipped({"example.org/Probe@v1.2.3/a.go": "x", "example.org/Probe@v1.2.3/A.go": "y"})
    with pytest.raises(IntegrityError, match="twice"):
        sum_of_zip(content, PROBE)


def test_names_that_a_module_may_have() -> None:
    names = ("LICENSE", ".github/x.yml", "a b/é+(1)~[x]{y}.go", "testdata/con2.go")
    assert sum_of_zip(zipped({f"example.org/Probe@v1.2.3/{name}": "x" for name in names}), PROBE)


def test_a_damaged_zip() -> None:
    content = zipped({"example.org/Probe@v1.2.3/a.go": "package x" * 100})
    for bad in (content[:40], b"PK\x03\x04", b"", content[:30] + b"\xff" * 8 + content[38:]):
        with pytest.raises(IntegrityError, match="damaged"):
            sum_of_zip(bad, PROBE)


def test_a_zip_that_unpacks_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zaffre.component.gosum.MAX_ZIP_BYTES", 1000)
    with pytest.raises(IntegrityError, match="more than a module may"):
        sum_of_zip(zipped({"example.org/Probe@v1.2.3/a": "0" * 1001}), PROBE)


SUM = "h1:bwawxfHBFNV+L2hUp1rHADufV3IMtnDRdf1r5NINEl0="


def test_go_sum_is_read() -> None:
    text = f"a.b/c v1.0.0 {SUM}\na.b/c v1.0.0/go.mod {SUM}\n\na.b/c v1.0.0 {SUM}\n"
    assert parse_go_sum(text, where="go.sum") == {
        GoFile("a.b/c", "v1.0.0"): SUM,
        GoFile("a.b/c", "v1.0.0", mod=True): SUM,
    }


@pytest.mark.parametrize("line", ["a.b/c v1.0.0", f"a.b/c {SUM}", f"a.b/c v1.0.0 {SUM[:-2]}", f"a b c v1 {SUM}"])
def test_go_sum_is_malformed(line: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_go_sum(f"a.b/c v1.0.0 {SUM}\n{line}\n", where="go.sum")
    assert caught.value.where == "go.sum:2"


@pytest.mark.parametrize(
    "module", ["/etc", "../a", "a/../../b", "a/./b", "a//b", "a/", "a.b/.c", "a.b/c.", "a\\b", "é.b"]
)
def test_a_module_that_lies_outside_of_the_proxy(module: str) -> None:
    with pytest.raises(IntegrityError, match="malformed"):
        parse_go_sum(f"{module} v1.0.0 {SUM}\n", where="go.sum")
    with pytest.raises(ValidationError):
        TypeAdapter(GoModulePath).validate_python(module)


def test_paths_that_modules_have() -> None:
    for module in ("go.example/tool", "gopkg.in/yaml.v3", "example.org/Probe/v2", "a.b/~c/d_e-f"):
        assert TypeAdapter(GoModulePath).validate_python(module) == module
        assert parse_go_sum(f"{module} v1.0.0+incompatible {SUM}\n", where="go.sum")


def test_go_sum_contradicts_itself() -> None:
    other = SUM.replace("b", "c")
    with pytest.raises(IntegrityError, match=r"two checksums of a\.b/c@v1\.0\.0"):
        parse_go_sum(f"a.b/c v1.0.0 {SUM}\na.b/c v1.0.0 {other}\n", where="go.sum")
