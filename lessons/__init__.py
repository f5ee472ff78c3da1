"""The derivations, walked through in code."""
