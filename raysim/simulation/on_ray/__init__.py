"""Parties and ranks as Ray actors. The one place that makes actors."""
