"""What an organization owns: sources, preparation, tokenizer, packed sequences."""
