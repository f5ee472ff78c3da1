"""The compiled twins of some pairs, and what they stand on."""
