# SPDX-License-Identifier: Apache-2.0
"""Arguments in, words and exit codes out; no logic.

Everything a person reads goes to standard error, save the result that was asked for. Importing this package
is cheap: each command imports what it needs when it runs.
"""

from __future__ import annotations

from zaffre.cli.entry import main

__all__ = ["main"]
