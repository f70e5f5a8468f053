# SPDX-License-Identifier: Apache-2.0
"""The files of a root in a form for other programs: an archive with owners by number, and extended attributes."""

from __future__ import annotations

from pathlib import Path

from zaffre.definition import Form
from zaffre.image.forms.disk import compress
from zaffre.sandbox import Sandbox
from zaffre.store import copy_sparse


def write_tree_form(form: Form, tree: Path, target: Path, *, sandbox: Sandbox) -> None:
    """Write `target`, which is absent, from a canonical archive (`zaffre.tree.tarball`). It is removed on failure."""
    try:
        if form is Form.TAR:
            copy_sparse(tree, target)
        else:
            compress(tree, target, sandbox=sandbox)
        target.chmod(0o644)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
