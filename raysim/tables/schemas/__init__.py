"""The specifications of the tables, a file for each topic; `raysim.tables.io` gathers them."""
