"""How an organization trains: weights, trainers, the organization itself."""
