"""The usual model's step, compiled whole: a fast path."""
