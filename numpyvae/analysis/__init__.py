"""What else is computed from a model or its images."""
