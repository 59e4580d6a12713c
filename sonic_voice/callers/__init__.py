"""Callers: conversations as a YAML file that says what the user says, and what must come of it.

A scenario of the emulator says what the model answers; a caller is its mirror.

    name: large pizza
    scenario: pizza.yaml            # what the emulator answers, with --against local
    tools: pizza_tools.py           # the Python file whose @tool functions the model may call
    system: You take orders for pizza.
    turns:
      - say: I would like a large pizza, please.
        expect:
          user: large pizza                     # words that the service must have heard
          assistant: It costs 12 euros          # words that must occur in the answer
          calls: [{tool: order, arguments: {size: large}}]
          within_ms: 2500
      - play: cough.wav                         # a sound file instead of `say`
        when: {word: 4}                         # while the answer sounds, at its fourth word
        expect: {interrupted: false}
      - say: Thank you.
        when: {silence_ms: 3000}                # after the answer and three seconds of silence
    expect:                                     # of the whole conversation
      calls: [order]
      never: {assistant: credit card, calls: [refund]}
    judge:
      - The assistant is polite and repeats the order.

A turn has `say` or `play`, and may have `when` and `expect`. With both `say` and `play` the file is
played, and the words are those in it. Keys of `when`, of which there is one:

    word         the number of a word of the answer before: the turn begins when it was heard
    silence_ms   milliseconds of silence after the answer before

Without `when`, a turn begins half a second after the answer before. Keys of `expect`:

    user         what the service must have heard
    assistant    what the assistant must say, in one answer or in several that belong to the turn
    calls        tools that must be called, in any order: names, or mappings with `tool` and
                 `arguments`. Other calls are allowed too; `[]` means that there is none
    within_ms    maximum response latency: from the end of the turn's speech to the first sound of
                 its answer
    interrupted  true if the turn must interrupt the answer before it; false if it must not
    never        words that the assistant must not say; or a mapping with `assistant` and `calls`

The whole conversation may have an `expect`, too, with `user`, `assistant`, `calls` and `never`.
What is expected of words is written as in the conditions of a scenario: words that must occur, a
list of them of which one must, `{matches: PATTERN}`, `{like: TEXT, errors: 0.25}` or
`{present: false}`. What is expected of an argument is its value, a list of values of which it must
be one, or one of these mappings.

`judge` has sentences that a chat model (`--judge`) decides on, with the transcript before it. A
conversation passes if every expectation holds and the judge agrees to each of its sentences: a
verdict never makes up for an expectation that does not hold.

A *simulated* caller has no turns, but `caller`, and its words come from a chat model (`--caller`):

    caller:
      persona: A hurried customer who changes their mind once.
      goal: Order a large pizza.
      opening: Hello, I want a pizza.           # the first words; optional
      max_turns: 8

Further keys of the file: `name`, `voice` (of the caller, `matthew` by default), `model`, and
`greeting` (the request with which the assistant speaks first).
"""

from .records import CallerScript, Expectations, ExpectedCall, Moment, Persona, ScriptedTurn
from .results import CallerResult, Failure

__all__ = (
    "CallerResult",
    "CallerScript",
    "Expectations",
    "ExpectedCall",
    "Failure",
    "Moment",
    "Persona",
    "ScriptedTurn",
)
