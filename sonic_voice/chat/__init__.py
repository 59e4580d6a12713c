"""Chat models behind HTTP endpoints, and their text made fit to be spoken.

`endpoint` sends requests and receives the answers. All else is pure: the JSON of answers in the
spellings of many servers (`pieces`, `calls`, `messages`, `parameters`), and text that streams in,
split into sentences without Markdown and without thoughts (`speakable`, `thoughts`).

The emulator asks such a model for the partner's answers, callers are spoken by one, and a reasoner
of the client may be one (`reasoning`).
"""
