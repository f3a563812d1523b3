"""Whether models solve programming problems: problems, solutions, their execution and checks."""
