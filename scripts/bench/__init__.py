"""Benchmarks. Each module is one, run from the project's root: `python -m scripts.bench.NAME`.

    sessions    sessions beside the bare AWS SDK; `session_client` is its client process
    emulator    lateness and memory of the emulator
    bridge      the bridge with many pages; `pages` is the process of the pages and the attackers
    hearing     speech recognition and endpointing of the emulator
    echo        echo cancellation in a simulated room
    room        the whole command with a microphone and a loudspeaker in a room
    long        an hour of conversation

`common` has what several of them need, `stamped_service` the service of `sessions` and `bridge`,
and `scene` the conversation of `room` and `long`. Helpers that the tests use as well are in
`tests/support/`.
"""
