"""The language of requests: words, numbers, dates and sums. Pure."""
