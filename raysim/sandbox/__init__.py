"""Runs code that nobody has read: a fork server, isolation layers, filters."""
