"""Reporting: a benchmark's result as a table in the terminal, Markdown, CSV, JSON, or one HTML page with charts that needs no network."""
