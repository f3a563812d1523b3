"""Names that tables have where an organization's would be."""

PUBLIC = "(public)"
"""The references: what they hold too is public, and nobody's own."""

OTHERS = "(all others)"
"""All organizations but one, together, where there are too many to list each."""
