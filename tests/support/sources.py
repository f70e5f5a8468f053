# SPDX-License-Identifier: Apache-2.0
"""Small sources to apply overlays to, and overlays made from the words that a file would have."""

from __future__ import annotations

import tomllib
from pathlib import Path

from zaffre.definition import Component, Overlay

CONTROL = """\
# What is built
Source: expat
Section: text
Maintainer: Somebody <somebody@debian.example>
Build-Depends: debhelper-compat (= 13),
# for the manual
               docbook-to-man <!nodoc>,
               dh-exec | dh-other,

Package: libexpat1
Architecture: any
Multi-Arch: same
Depends: ${shlibs:Depends}, ${misc:Depends}
Description: XML parser
 Long words.

Package: expat
Architecture: any
Depends: libexpat1 (= ${binary:Version}), ${misc:Depends}
Description: XML programs
"""
CHANGELOG = """\
expat (2.7.1-2+deb13u1) trixie-security; urgency=high

  * Fix something.

 -- Somebody <somebody@debian.example>  Thu, 02 Jan 2025 10:00:00 +0100
"""
LIMIT = """\
Description: a limit
--- a/lib/parse.c
+++ b/lib/parse.c
@@ -1,3 +1,4 @@
 int depth;
+int limit = 100;
 int parse(void) {
 return 0;
"""
UPSTREAM_PATCH = """\
--- a/lib/parse.c
+++ b/lib/parse.c
@@ -4,2 +4,3 @@
 }
 int last;
+int fixed;
"""
SPEC = """\
%global so_version 1
%define with_long \\
  one \\
  two
%bcond_without tests
%bcond_with gui

Name: expat
Version: 2.7.1
Release: 3%{?dist}
Summary: XML parser
License: MIT
URL: https://expat.example/
Source0: https://expat.example/%{name}-%{version}.tar.gz
Patch0: fixed.patch
Patch1: https://expat.example/%{name}-docs.patch
BuildRequires: gcc-c++, make >= 4
%if %{with gui}
BuildRequires: pkgconfig(gtk4) >= 4.1
%endif
Requires: (foo if bar), libsomething%{?_isa} >= 1

%description
A parser.

%if %{with gui}
%package gui
Summary: Windows
Requires: %{name}%{?_isa} = %{version}-%{release}

%description gui
Windows.
%endif

%package -n libexpat
Summary: Library
%description -n libexpat
Library.

%prep
%autosetup -p1

%build
%configure
%make_build

%install
%make_install

%check
make check

%if %{with gui}
%files gui
%{_bindir}/xmlgui
%config(noreplace) %{_sysconfdir}/xmlgui.conf
%endif

%files
%license COPYING
%{_bindir}/xmlwf
%{_mandir}/man1/*
%{_datadir}/expat/

%files -n libexpat
%{_libdir}/libexpat.so.%{so_version}*

%changelog
* Thu Jan 02 2025 Somebody <somebody@expat.example> - 2.7.1-3
- fixed
"""
HEAD = {
    "category": "security",
    "reason": "the parser must not be driven out of memory",
    "upstream_status": "submitted",
    "links": ["CVE-2026-1234"],
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def deb_source(root: Path) -> Path:
    """As `dpkg-source --extract` leaves a source of format 3.0 (quilt) with one patch."""
    return write(
        root,
        {
            "lib/parse.c": "int depth;\nint parse(void) {\nreturn 0;\n}\nint last;\nint fixed;\n",
            "README": "expat\n",
            "debian/control": CONTROL,
            "debian/changelog": CHANGELOG,
            "debian/rules": "#!/usr/bin/make -f\n%:\n\tdh $@\n",
            "debian/source/format": "3.0 (quilt)\n",
            "debian/patches/series": "# one\nfixed.patch\n",
            "debian/patches/fixed.patch": UPSTREAM_PATCH,
            "debian/expat.install": "usr/bin/xmlwf\nusr/share/man/*\nexamples/*.c usr/share/doc/expat/\n",
            "debian/libexpat1.install": "usr/lib/*/libexpat.so.*\n",
            "debian/libexpat1.symbols": "libexpat.so.1\n",
            ".pc/applied-patches": "fixed.patch\n",
            ".pc/.version": "2\n",
            ".pc/.quilt_patches": "debian/patches\n",
            ".pc/.quilt_series": "series\n",
            ".pc/fixed.patch/lib/parse.c": "int depth;\nint parse(void) {\nreturn 0;\n}\nint last;\n",
        },
    )


def component(*overlays: str, source: str = 'kind = "deb-source"\npackage = "expat"') -> Component:
    """A component with overlays of these operations, each in the words of a file."""
    table = tomllib.loads(f'description = "XML parser"\n[source]\n{source}')
    loaded = [
        Overlay.model_validate(
            {
                **HEAD,
                **tomllib.loads(f"since = 2026-01-0{number}\nuntil = 2027-01-01\n{text}"),
                "number": number,
                "file": f"components/expat/overlays/000{number}-x.toml",
            }
        )
        for number, text in enumerate(overlays, start=1)
    ]
    return Component.model_validate({**table, "name": "expat", "overlays": loaded})


def operation(words: str) -> str:
    return f"[[operations]]\n{words}\n"
