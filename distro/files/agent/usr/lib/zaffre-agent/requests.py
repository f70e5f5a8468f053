# SPDX-License-Identifier: Apache-2.0
"""In the place of python3-requests. python-tuf 5.1 names the library when it is imported, and calls it only when it is
given no fetcher; the agent gives it one. The library itself would cost each run 8 MB of memory.
"""


class Session:
    """Not to be made."""

    def __init__(self) -> None:
        raise RuntimeError("the agent reads by urllib3, and nothing else should")
