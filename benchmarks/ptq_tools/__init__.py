"""What benchmarks/ptq.py compares: who quantizes, with which settings, and how a file is judged."""
