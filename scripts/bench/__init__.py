"""Benchmarks. Each module is one, run from the project's root: `python -m scripts.bench.NAME`.

    sessions    sessions beside the bare AWS SDK; `session_client` is its client process
    growth      how cost grows; `growth_plot` draws it
    emulator    lateness and memory of the emulator
    bridge      the bridge with many pages; `pages` is the process of the pages and the attackers
    hearing     speech recognition and endpointing of the emulator
    echo        echo cancellation in a simulated room
    room        the whole command with a microphone and a loudspeaker in a room
    long        an hour of conversation
    live        what a transcript and a stereo recording cost
    tape        size of a tape, and what recording costs a session

`echo_scenes`, `echo_onsets` and `earlier_echo_rule` are parts of `echo`: its scenes, its table of
onsets, and the rule that it compares with. `common` has what several of them need,
`stamped_service` the service of `sessions` and `bridge`, and `scene` the conversation of `room`,
`long` and `live`. Helpers that the tests use as well are in `tests/support/`.
"""
