"""What everything rests on: settings, keys, errors, Arrow tables as bytes, the run folder."""
