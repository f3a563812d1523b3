"""The figures of the report, as plain Plotly specifications."""
