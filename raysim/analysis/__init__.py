"""Numbers from the tables of a run alone: statistics, contrasts, findings, effects of the order."""
