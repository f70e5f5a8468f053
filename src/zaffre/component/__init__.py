# SPDX-License-Identifier: Apache-2.0
"""Components: what is built instead of inherited. A source plus overlays becomes packages of our own."""
