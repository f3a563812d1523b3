"""Losses and scores on their way to other programs while a run goes on."""
