"""Pico in a process of its own; see `pico`. A script that knows nothing of this package.

A request is a line of JSON: text, language, pitch and speed, 1 for unchanged. The answer is s16le
PCM behind the number of its bytes, which takes four. The end of the input is the end.
"""

import json
import sys

import py_nanotts


def main() -> None:
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
