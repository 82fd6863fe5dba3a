"""Whole-process timings, as ratios measured in one run."""
