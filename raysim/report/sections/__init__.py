"""The sections of the report: one topic each, as plain values."""
