# SPDX-License-Identifier: Apache-2.0
"""`zaffre diff`: two locks, images or builds are read as subjects, and what differs is a report with reasons."""

from zaffre.compare.compare import compare, inventory_details
from zaffre.compare.read import Reader
from zaffre.compare.report import Comparison, Details
from zaffre.compare.subject import Subject
from zaffre.compare.why import Knowledge

__all__ = ["Comparison", "Details", "Knowledge", "Reader", "Subject", "compare", "inventory_details"]
