"""Keyed work: found in the store or computed once; batch jobs through Ray Data."""
