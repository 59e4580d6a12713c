"""Pico in a process of its own; see `pico`. This script imports nothing of this package.

A request is a line of JSON: text, language, pitch and speed; 1 leaves pitch or speed unchanged. The
answer is its length in bytes, as four bytes, followed by s16le PCM. The end of the input ends the
process.
"""

import json
import sys

import py_nanotts


def main() -> None:
    """Answer requests until the end of the input."""
    pico = py_nanotts.NanoTTS()
    for line in sys.stdin.buffer:
        text, language, pitch, speed = json.loads(line)
        pcm = pico.speak(
            text,
            voice=language,
            pitch=pitch if pitch != 1.0 else None,
            speed=speed if speed != 1.0 else None,
        )
        sys.stdout.buffer.write(len(pcm).to_bytes(4, "little") + pcm)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
