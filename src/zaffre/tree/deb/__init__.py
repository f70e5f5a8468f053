# SPDX-License-Identifier: Apache-2.0
"""Roots made of Debian packages: unpacked by us, configured by dpkg. Others reach it through `tree.configure`."""
