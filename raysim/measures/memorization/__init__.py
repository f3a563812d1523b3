"""Whose training code models give away: prompts, generation, matching."""
