"""Words, numbers, dates and sums in what was said, and texts that are fit to be spoken."""
