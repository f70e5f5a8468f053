# SPDX-License-Identifier: Apache-2.0
"""Machines in QEMU: run an image, check it, measure it."""
