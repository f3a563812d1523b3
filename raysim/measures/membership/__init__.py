"""Membership inference: whether a model's losses tell what it was trained on, beside a blind guess."""
