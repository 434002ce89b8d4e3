"""Where a benchmark runs: this machine, or another one over the person's own OpenSSH."""
