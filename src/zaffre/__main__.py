# SPDX-License-Identifier: Apache-2.0
"""`python -m zaffre`."""

from __future__ import annotations

import sys

from zaffre.cli import main

if __name__ == "__main__":
    sys.exit(main())
