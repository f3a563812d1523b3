"""The strategies that come with raysim, one a file, found through the entry-point group ``raysim.strategies``."""
