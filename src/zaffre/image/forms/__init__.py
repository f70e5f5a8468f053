# SPDX-License-Identifier: Apache-2.0
"""The forms that an image is handed over in. A new one of a disk is an entry of `QEMU_FORMS` or a branch beside it; one
of a tree is a branch of `write_tree_form`; `definition.forms` says which kind of image has it."""

from zaffre.image.forms.disk import write_disk_form
from zaffre.image.forms.stamp import Stamp
from zaffre.image.forms.tree import write_tree_form

__all__ = ["Stamp", "write_disk_form", "write_tree_form"]
