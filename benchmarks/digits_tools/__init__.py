"""What benchmarks/separable_vs_standard.py compares: the three networks, how they are trained, what their figures say, the chart."""
