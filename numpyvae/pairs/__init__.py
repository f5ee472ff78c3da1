"""The mathematics: each forward pass followed by its backward pass, in NumPy."""
