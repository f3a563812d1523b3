"""What is measured of the models: each measure, its keyed work, and the evaluator that runs them."""
