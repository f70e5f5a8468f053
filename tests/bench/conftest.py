# SPDX-License-Identifier: Apache-2.0
"""The modules of bench/ stand beside each other, as `python bench/run.py` finds them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
