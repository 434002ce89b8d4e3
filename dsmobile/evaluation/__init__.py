"""Runs artifacts on data, each in a process of its own, and says how often they are right and how near they are to a reference."""
