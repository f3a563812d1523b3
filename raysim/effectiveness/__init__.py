"""How good the models are: losses by file, share of generations that parse."""
