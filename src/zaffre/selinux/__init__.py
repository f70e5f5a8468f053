# SPDX-License-Identifier: Apache-2.0
"""What SELinux has refused, as the kernel and services tell it, and rules that would allow it. Pure."""

from zaffre.selinux.denials import Context, Denial, Read, denials_in, read_denial
from zaffre.selinux.module import module_text
from zaffre.selinux.suggest import Rule, Suggestion, suggest

__all__ = [
    "Context",
    "Denial",
    "Read",
    "Rule",
    "Suggestion",
    "denials_in",
    "module_text",
    "read_denial",
    "suggest",
]
