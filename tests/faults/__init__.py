"""Layer 4 of the proof: faults planted in the real source, and who notices.

`python -m tests.faults` plants the catalogue, one fault after the other, in throwaway
copies of the checkout; `--sweep` mutates the mathematics mechanically.
"""
