"""How a language model is asked: the generation engine, its decoder and cache, sampling, scoring."""
