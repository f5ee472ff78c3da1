"""Is a backward pass the derivative of its forward pass?"""
