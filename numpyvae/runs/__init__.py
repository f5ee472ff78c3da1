"""The folder of a run, and the checkpoint in it."""
