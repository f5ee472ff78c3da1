"""What judges the exercises of the lessons."""
