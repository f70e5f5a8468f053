# SPDX-License-Identifier: Apache-2.0
"""The archive as its own feed: the changelogs of its packages say what each version mends."""
