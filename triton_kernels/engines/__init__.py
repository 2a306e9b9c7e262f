"""How cells run: one file a family of recurrences."""
