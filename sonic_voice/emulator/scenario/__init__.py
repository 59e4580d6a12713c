"""Scenarios: what the emulator "hears" and answers, as a YAML or TOML file.

    name: pizza
    set: {tries: none}                       # variables, new for each stream
    steps:
      - name: order                          # what a `goto` calls it
        user: a large pizza please           # the words, where there is no recogniser
        expect: {user: pizza}                # noted if it does not hold, and answered with `else`
        else: {say: We have only pizza., goto: order}
        when:                                # the first whose `if` holds is the answer
          - if: {user: {matches: "(?P<size>small|large)"}}
            call:
              tool: order
              arguments: {size: "{size}", count: 1}
              meanwhile: One moment.         # said before the result, by models that do
              expect: {result.price: {present: true}}
              when:
                - if: {result.sold_out: true}
                  say: There are no {size} ones left.
                  goto: order
              then: It costs {result.price} euros.
        say: Small or large?                 # the answer if no `if` holds
        goto: order
      - user: thank you
        say: [You are welcome., Goodbye.]    # each sentence is one text block and its speech

Each utterance, spoken or typed, takes one step: the next one, or the one that `goto` named; `end`
is after the last. The words are what was recognised or typed; without a recogniser, the step's
`user` is taken for what was said, in conditions too, so that a scenario takes one known path.

`user: ""` is speech in which no words were found: the transcript is empty, and is answered.

A step has `user` and an answer, and may have `name`, `expect`, `else`, and `when`, a list of other
answers, each with an `if`. Keys of an answer:

    say         a sentence, or a list of sentences
    call        a tool call: `tool`, `arguments`, `meanwhile`, `then`; or a list of calls, which are
                made together and answered in one turn if their results come together
    wav         a 16-bit WAV file that is played instead of speaking the one sentence of `say`;
                its path is relative to the scenario
    delay_ms    additional delay before the answer, in milliseconds of input audio
    error       `code` and `message` of an exception in the stream
    break       reset, cut, cut-mid-frame or goaway
    set         variables and their new values
    goto        the name of the step for the next utterance

`error` and `break` occur where the answer would begin; with a `say`, in the middle of the speech
of its last sentence. A call may itself have `delay_ms`, `set`, `goto`, `expect`, `else` and `when`,
which apply when its result arrives; the answers among them have only `say`, `delay_ms`, `set` and
`goto`.

A condition names `user`, `result`, `result.field` (quoted in TOML) or a variable, and what its
value must be:

    large, 10, [a, b]                    equal to it, or to one of the list; for `user`: these
                                         words must occur in it; case is ignored
    {matches: PATTERN}                   a regular expression finds it; its named groups become
                                         variables, and those that are numbers (10, ten) numbers
    {like: TEXT, errors: 0.25}           at most this share of the words is wrong
    {present: true}                      there is a value; false: there is none

Texts and values may contain `{user}`, `{result}`, `{result.field}` (of the last tool result), and
`{variable}`; a text that consists of one of these only keeps the type of the value. Keys of the
file: `name`, `set`, `steps`, `loop` (begin again after the last step), `otherwise` (the answer to
every utterance after the last step), `endpoint_ms` (silence that ends an utterance, whatever the
client asks for), `voice` (speaks instead of the client's choice). `scenario.schema.json` describes
all of it for editors.
"""

from .condition_reader import ConditionReader
from .conditions import Condition, Like, Matches, OneOf, Present, Says, met
from .located_yaml import read_document
from .reader import load_scenario, mistakes, parse_scenario
from .records import (
    EXCEPTIONS,
    LAST_WORDS,
    Branch,
    BreakKind,
    Recording,
    Scenario,
    ScenarioCall,
    ScenarioStep,
    StreamException,
)
from .templates import fill

__all__ = (
    "EXCEPTIONS",
    "LAST_WORDS",
    "Branch",
    "BreakKind",
    "Condition",
    "ConditionReader",
    "Like",
    "Matches",
    "OneOf",
    "Present",
    "Recording",
    "Says",
    "Scenario",
    "ScenarioCall",
    "ScenarioStep",
    "StreamException",
    "fill",
    "load_scenario",
    "met",
    "mistakes",
    "parse_scenario",
    "read_document",
)
