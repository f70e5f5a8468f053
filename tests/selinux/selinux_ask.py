# SPDX-License-Identifier: Apache-2.0
"""Asks a policy in its binary form what the kernel would say, by libsepol. Run by the Python of the tools:

    python3 selinux_ask.py POLICY <questions >answers

Both are JSON. The question is a list of [context, context of what it is done to, class, permissions], the answer an
object: `refused`, which of these permissions are refused in each, and `domains`, by the domain of who starts a
program, and by the program's type, in which domain it then runs.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_DOMAIN = re.compile(r"^\(typetransition (\w+) (\w+) process (\w+)\)$", re.MULTILINE)


class _Decision(ctypes.Structure):
    """sepol_av_decision (sepol/policydb/flask_types.h)."""

    _fields_ = [(name, ctypes.c_uint32) for name in ("allowed", "decided", "auditallow", "auditdeny", "seqno")]


_SEPOL = ctypes.CDLL("libsepol.so.2")
_C = ctypes.CDLL(None)
_C.fopen.restype = ctypes.c_void_p


def refused(policy: str, questions: list[tuple[str, str, str, list[str]]]) -> Iterator[list[str]]:
    file = ctypes.c_void_p(_C.fopen(policy.encode(), b"r"))
    _done(_SEPOL.sepol_set_policydb_from_file(file), policy)
    for source, target, kind, permissions in questions:
        decision, reason, number = _Decision(), ctypes.c_uint(), ctypes.c_uint16()
        _done(_SEPOL.sepol_string_to_security_class(kind.encode(), ctypes.byref(number)), kind)
        sids = _number(source), _number(target)
        answer = ctypes.byref(decision), ctypes.byref(reason)
        _done(_SEPOL.sepol_compute_av_reason(*sids, number, ctypes.c_uint32(0), *answer), source)
        yield [one for one in permissions if not decision.allowed & _bit(number, one)]


def domains(policy: str) -> dict[str, dict[str, str]]:
    database, source = ctypes.c_void_p(), ctypes.c_void_p()
    _done(_SEPOL.sepol_policydb_create(ctypes.byref(database)), policy)
    _done(_SEPOL.sepol_policy_file_create(ctypes.byref(source)), policy)
    _SEPOL.sepol_policy_file_set_fp(source, ctypes.c_void_p(_C.fopen(policy.encode(), b"r")))
    _done(_SEPOL.sepol_policydb_read(database, source), policy)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "policy.cil")
        file = ctypes.c_void_p(_C.fopen(str(target).encode(), b"w"))
        _done(_SEPOL.sepol_kernel_policydb_to_cil(file, database), policy)
        _done(_C.fclose(file), str(target))
        found: dict[str, dict[str, str]] = {}
        for starter, program, domain in _DOMAIN.findall(target.read_text()):
            found.setdefault(starter, {})[program] = domain
        return found


def _number(context: str) -> ctypes.c_uint32:
    number = ctypes.c_uint32()
    text = context.encode()
    _done(_SEPOL.sepol_context_to_sid(text, ctypes.c_size_t(len(text) + 1), ctypes.byref(number)), context)
    return number


def _bit(kind: ctypes.c_uint16, permission: str) -> int:
    bit = ctypes.c_uint32()
    _done(_SEPOL.sepol_string_to_av_perm(kind, permission.encode(), ctypes.byref(bit)), permission)
    return bit.value


def _done(status: int, what: str) -> None:
    if status:
        raise SystemExit(f"libsepol does not know {what}")


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump({"refused": list(refused(sys.argv[1], asked)), "domains": domains(sys.argv[1])}, sys.stdout)
