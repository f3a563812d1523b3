"""The data dictionary: a file for each concept. `raysim.report.tables` gathers, writes and reads them."""
