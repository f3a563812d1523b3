"""What a person reads: tables, contrasts, the HTML page, the terminal summary."""
