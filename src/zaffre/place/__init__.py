# SPDX-License-Identifier: Apache-2.0
"""Places that are published to and read from: a folder, an object store, and what a web server gives of either.

A file appears whole or not at all, and one at a time may write. What is published, and in which order, is the matter
of those who publish: `repository` for apt, `release` for hosts.
"""
