# SPDX-License-Identifier: Apache-2.0
"""Source RPMs made by rpmbuild: specs with their sources, and a component or two that are built from them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Action, ActionResult, Store

_MACROS = {
    "_topdir": "/tmp/build",
    "_sourcedir": "/job/sources",
    "_srcrpmdir": "/job/packages",
    "_tmppath": "/tmp",
    "_dbpath": "/tmp/rpmdb",
    "_buildhost": "test.example",
    "use_source_date_epoch_as_buildtime": "1",
}
_EPOCH = "1700000000"

GREETER = """\
%global debug_package %{nil}
%bcond_without tests
Name: greeter
Version: 1.0
Release: 3
Summary: says something
License: CC0-1.0
Source0: greeter-%{version}.tar
Source1: words.txt
BuildRequires: sed >= 4

%description
It says something.

%package words
Summary: its words
BuildArch: noarch

%description words
They are data.

%prep
%autosetup -p1

%build
sed 's/@WORD@/hello/' greet.in >greet
chmod 755 greet

%install
install -D -p -m 0755 greet %{buildroot}%{_bindir}/greet
install -D -p -m 0644 %{SOURCE1} %{buildroot}%{_datadir}/greeter/words.txt

%check
echo "tests run by $(id -u) in $(pwd)"
./greet | grep hello

%files
%{_bindir}/greet

%files words
%{_datadir}/greeter

%changelog
* Thu Jan 02 2025 Somebody <somebody@greeter.example> - 1.0-3
- first
"""


def tar(files: Mapping[str, str]) -> bytes:
    """An archive of these files, always the same."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(text.encode()), 1_600_000_000
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


GREETER_FILES: Mapping[str, bytes] = {
    "greeter-1.0.tar": tar({"greeter-1.0/greet.in": "#!/bin/sh\necho @WORD@\necho again\n"}),
    "words.txt": b"hello\n",
}


@dataclass(frozen=True)
class SourceRpm:
    """A source as its files."""

    spec: str
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return next(line.split()[1] for line in self.spec.splitlines() if line.startswith("Name:"))


def build_source(source: SourceRpm, *, sandbox: Sandbox, store: Store) -> bytes:
    """The unsigned source RPM. Kept in the store, so that rpmbuild runs once."""
    action = Action(
        kind="test-source-rpm",
        label=f"source RPM {source.name} for tests",
        inputs={
            "spec": source.spec,
            "files": {name: data.hex() for name, data in source.files.items()},
            "macros": dict(_MACROS),
            "tools": sandbox.tools.key,
        },
        reason="tests need sources that rpmbuild made",
    )

    def produce(scratch: Path) -> ActionResult:
        for folder in ("sources", "packages"):
            (scratch / folder).mkdir()
        for name, data in source.files.items():
            (scratch / "sources" / name).write_bytes(data)
        (scratch / "sources" / f"{source.name}.spec").write_text(source.spec)
        defines = [word for name, value in _MACROS.items() for word in ("--define", f"{name} {value}")]
        sandbox.run(
            ["rpmbuild", "-bs", "--nodeps", "--quiet", *defines, f"/job/sources/{source.name}.spec"],
            mounts=[Mount(scratch, "/job", writable=True)],
            env={"SOURCE_DATE_EPOCH": _EPOCH},
            timeout=120,
        )
        (made,) = (scratch / "packages").iterdir()
        return ActionResult({"source": store.add_bytes(made.read_bytes())}, {})

    return store.path(store.perform(action, produce).result.outputs["source"]).read_bytes()
