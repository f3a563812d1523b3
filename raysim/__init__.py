"""raysim: simulate collaborative training of code language models on Ray, and measure what it gives away."""

__version__ = "0.1.0"
