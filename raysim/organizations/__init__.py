"""The organizations: actors that alone hold their files, what they agreed to, what they have in common."""
