"""Makes pages of the lessons: `python -m lessons` runs them and writes site/."""
