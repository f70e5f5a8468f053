# SPDX-License-Identifier: Apache-2.0
"""What a machine measures of its boot into its TPM: predicted from a build, read from a log, held against each other.

It belongs to no room: a build predicts, a check boots and compares, a release keeps the prediction, and a quote of a
node is judged by it. Pure but for the files of a build that are read.
"""
