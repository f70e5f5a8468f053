# SPDX-License-Identifier: Apache-2.0
"""Roots made of RPM packages, by rpm itself. Others reach it through `tree.configure`."""
