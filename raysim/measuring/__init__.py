"""Measures the models of a run: scoring, probing, matching, as keyed work at the organizations."""
