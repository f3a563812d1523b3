"""How a language model is trained: models, weights, optimizers, the loop and its engines, ranks."""
