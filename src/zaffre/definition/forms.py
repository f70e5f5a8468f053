# SPDX-License-Identifier: Apache-2.0
"""The forms that an image is handed over in, and which kind of image has which of them. Declared once, here.

A form of the disk is made of `image.raw`, a form of the tree of the files that are in the root.
"""

from __future__ import annotations

from enum import StrEnum

from zaffre.definition.values import Kind


class Form(StrEnum):
    """A form by the name that the definition and `zaffre convert --form` have for it; it is the ending of its file."""

    RAW = "raw"
    RAW_ZST = "raw.zst"
    QCOW2 = "qcow2"
    VHD = "vhd"
    VHDX = "vhdx"
    VMDK = "vmdk"
    TAR = "tar"
    TAR_ZST = "tar.zst"

    @property
    def of_tree(self) -> bool:
        """Whether it is made of the files of a root; else of a disk."""
        return self in _OF_TREE

    @property
    def file_name(self) -> str:
        """Its file in the folder of a build."""
        return f"{'root' if self.of_tree else 'image'}.{self}"


_OF_TREE = frozenset({Form.TAR, Form.TAR_ZST})
_DISK = tuple(form for form in Form if not form.of_tree)
_TREE = tuple(form for form in Form if form.of_tree)

FORMS_OF: dict[Kind, tuple[Form, ...]] = {
    Kind.HOST: (*_DISK, *_TREE),
    Kind.SERVER: (*_DISK, *_TREE),
    Kind.SYSEXT: (),
    Kind.CONFEXT: (),
    Kind.CONTAINER: (),
    Kind.WSL: _TREE,
}
"""The forms that a kind of image can be handed over in, beside what its build always has."""


def forms_in_words(kind: Kind) -> str:
    """What a user who asked for another form may take instead."""
    forms = FORMS_OF[kind]
    return f"a {kind} can be {', '.join(forms)}" if forms else f"a {kind} is what its build gives, and nothing else"
