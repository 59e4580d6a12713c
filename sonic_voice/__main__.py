"""`python -m sonic_voice` is `sonic-voice`."""

from .cli import main

main()
