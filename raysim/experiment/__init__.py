"""One experiment: its file, what it plans, how it runs, sweeps, verification, export, estimates."""
