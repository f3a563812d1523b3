"""What an organization owns: sources, preparation, tokens."""
