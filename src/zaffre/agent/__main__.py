# SPDX-License-Identifier: Apache-2.0
"""`python3 -m zaffre.agent`."""

import sys

from zaffre.agent.program import main

sys.exit(main())
