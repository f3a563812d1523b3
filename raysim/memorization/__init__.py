"""What the models give away: prompts, generation, line index, matching, clones."""
