# SPDX-License-Identifier: Apache-2.0
"""Own your Linux: from a definition to a signed, proved, bootable image."""
