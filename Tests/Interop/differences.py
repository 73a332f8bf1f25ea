"""Comparisons that fail where they must: Python's max passes over NaN, and says nothing of nothing."""

import math


def largest(values):
    """The largest of some numbers; infinity where one is NaN, or where there are none."""
    values = [float(value) for value in values]
    return max(values) if values and not any(math.isnan(value) for value in values) else math.inf


def bound(relative, scale):
    """A tolerance relative to a scale of at least one; nothing is near to what is not finite."""
    return relative * max(1.0, scale) if math.isfinite(scale) else -1.0
