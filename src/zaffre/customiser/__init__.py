# SPDX-License-Identifier: Apache-2.0
"""`zaffre customize`: a ready image is read, changed and sealed again; it is not booted and needs no definition."""
