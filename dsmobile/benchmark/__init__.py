"""Measuring: plan, blocks, statistics, verdict, and whether the measurement means what it says."""
