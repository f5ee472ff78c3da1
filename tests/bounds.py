"""How long is too long: these end what hangs, and measure nothing."""

HANG = 600  # seconds until a process that should have ended is taken to hang
