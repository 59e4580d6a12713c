"""Measure the language of the docstrings in `sonic_voice`, and fail when it misses its targets.

    python scripts/language.py              # a table of the folders, and the verdict
    python scripts/language.py --list       # every docstring that counts against a target

Two figures are measured:

- *Fragments*: docstrings that do not begin as documentation does. A function begins with a verb
  in the imperative ("Return", "Send", "Open"). A class, a property, a field or a constant begins
  with what it is ("A token bucket.", "Maximum size ..., in bytes"), never with a preposition, a
  pronoun or a question word ("Of a table", "So many samples", "Who may come in").
- *Sections*: of the public functions and methods that take parameters, those with `Args:`,
  `Returns:` or `Raises:`. A method that says "See `Port`." is documented there. Commands of the
  command line are left out: their docstrings are help texts, and their options have help of their
  own.

The script finds what a machine can find. Whether a sentence is good is decided by reading it.
"""

import argparse
import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST_FRAGMENTS = 0.10
"""Maximum share of docstrings that begin as fragments."""

LEAST_SECTIONS = 0.60
"""Minimum share of public functions with parameters that have a section."""

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sonic_voice"

RIDDLES = frozenset(
    """
    about above according across after against along among around as at before behind below
    beneath beside between beyond by during for from in inside into less like more most near no
    nobody of off older on once only out over since so some somebody such than that their these
    this those through to too under until upon what whatever when where whether which while who
    whoever whose why with within without how not they it he she there here then
    """.split()
)
"""Words that begin a fragment, in lower case."""

NOT_VERBS = frozenset(
    """
    a all an another any anybody anything both each every everybody everything her his its my
    nothing one other our same something the three two whole your
    """.split()
)
"""Words that no imperative begins with, besides `RIDDLES`."""

VERBS = frozenset(
    """
    abort accept access account acknowledge act add adjust admit advance agree align allow amend
    announce answer append apply arm ask assemble assert assign attach await balance be become
    begin bind block bound break bring buffer build calculate call cancel canonicalize capture
    carry catch change charge check choose claim classify clean clear close collect combine
    commit compare compile complete compose compute condense configure confirm connect consider
    construct consume contain continue control convert convolve copy correct count cover create
    credit cut debug decide decode decrease deduce defer define delay delete delimit deliver
    deny derive describe detect determine diagnose dial disable discard disconnect dismiss
    dispatch display distribute divide do drain draw drop duck echo emit empty enable encode end
    enqueue ensure enter enumerate erase escape estimate evaluate examine exclude execute exit
    expand expect expire explain export expose extend extract fade fail feed fetch fill filter
    find finish fit flatten flush fold follow forbid forget format forward frame free freeze
    generate get give go grant group guard guess handle hang hash hear hide hold hush identify
    ignore import include increase indicate infer inform initialize insert inspect install
    interrupt invalidate invoke isolate issue iterate join judge keep kill know label launch lay
    learn leave let limit list listen load locate lock log look lower make map mark mask match
    measure merge mix model mount move multiply mute name narrow negotiate normalise normalize
    note notice notify number obey observe obtain offer omit open order overlap overwrite pack
    pad paint parse pass pause perform pick ping place plan play poll pop predict prefer prepare
    present preserve press prevent print probe process produce prompt propagate protect prove
    provide pull push put query queue quit quote raise ramp rate reach read rebuild recall
    receive recognise recognize reconnect record recover redirect reduce refer refill reflect
    refresh refuse register reject relay release reload remember remind remove rename render
    renew repeat replace replay reply report represent request require resample reserve reset
    resize resolve respond restart restore restrict resume retrieve retry return reuse reverse
    revert rewind rewrite ring rotate round route run sample satisfy save say scale scan
    schedule score search see seek select send separate serialise serialize serve set settle
    shift shorten show shut sign signal silence simulate skip sleep slice smooth sort sound
    space speak specify spell split spread stand start state step stop store stream stretch
    strip stub submit subscribe substitute subtract suggest sum summarise summarize supply
    support suppress suspend swap switch synthesise synthesize take tell terminate test throw
    tick time toggle tokenize track train transcribe transfer transform translate transmit
    traverse treat trim truncate try turn type unbind undo unescape unmute unpack unregister
    unsubscribe unwrap update upgrade use validate verify view visit wait wake walk warn watch
    weigh widen wipe withdraw work wrap write yield zero
    """.split()
)
"""Imperatives that docstrings begin with."""

SECTION = re.compile(r"^\s*(Args|Returns|Raises|Yields):", re.MULTILINE)
SEE = re.compile(r"^See `[^`]+`")
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")


@dataclass
class Figures:
    """The counts of one folder."""

    docstrings: int = 0
    fragments: list[str] = field(default_factory=list[str])
    functions: int = 0
    without_sections: list[str] = field(default_factory=list[str])


def is_fragment(text: str, *, of_function: bool) -> bool:
    """Return whether a docstring begins as a fragment.

    Args:
        text: The docstring.
        of_function: Whether it documents a function or a method, which begin with a verb.
    """
    found = WORD.search(text.strip()[:80])
    if found is None:
        return False
    word = found[0].lower()
    if of_function:
        return not SEE.match(text.strip()) and word not in VERBS
    return word in RIDDLES


def docstrings(tree: ast.Module) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield each node that has a docstring, with constants and fields, its name and the text."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            text = ast.get_docstring(node)
            if text:
                yield node, node.name, text
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for before, after in zip(node.body, node.body[1:], strict=False):
                text = _text_of(after)
                if isinstance(before, (ast.Assign, ast.AnnAssign)) and text:
                    yield before, _target(before), text


def _text_of(node: ast.stmt) -> str:
    match node:
        case ast.Expr(ast.Constant(str(text))):
            return text
        case _:
            return ""


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return ast.unparse(target)


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list}


def _is_property(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(
        name.endswith(("property", ".setter")) for name in _decorators(node)
    )


def _takes_parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    names = [a.arg for a in named if a.arg not in ("self", "cls")]
    return bool(names or arguments.vararg or arguments.kwarg)


def measure(path: Path, source: str, figures: Figures) -> None:
    """Add the counts of one file to `figures`.

    Args:
        path: The file, for the list of what counts against a target.
        source: Its text.
        figures: The counts of its folder.
    """
    help_texts = path.parent.name == "cli"
    for node, name, text in docstrings(ast.parse(source)):
        place = f"{path}:{getattr(node, 'lineno', 0)} {name}: {text.splitlines()[0][:90]}"
        function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        figures.docstrings += 1
        if is_fragment(text, of_function=function and not _is_property(node)):
            figures.fragments.append(place)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or help_texts:
            continue
        public = not name.startswith("_") and not _is_property(node)
        if public and _takes_parameters(node) and not SEE.match(text):
            figures.functions += 1
            if not SECTION.search(text):
                figures.without_sections.append(place)


def main() -> int:
    """Print the figures and return 1 if they miss the targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="list what counts against a target")
    asked = parser.parse_args()
    by_folder: defaultdict[str, Figures] = defaultdict(Figures)
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(ROOT)
        measure(place, path.read_text(encoding="utf-8"), by_folder[str(place.parent)])
    print(f"{'folder':<36}{'docstrings':>11}{'fragments':>11}{'functions':>11}{'sections':>10}")
    total = Figures()
    for folder, figures in by_folder.items():
        print(_row(folder, figures))
        total.docstrings += figures.docstrings
        total.functions += figures.functions
        total.fragments += figures.fragments
        total.without_sections += figures.without_sections
    print(_row("all", total))
    if asked.list:
        print("\nFragments:", *total.fragments, sep="\n  ")
        print("\nWithout sections:", *total.without_sections, sep="\n  ")
    fragments = len(total.fragments) / total.docstrings
    sections = 1 - len(total.without_sections) / total.functions
    good = fragments < MOST_FRAGMENTS and sections >= LEAST_SECTIONS
    print(
        f"{fragments:.1%} fragments (target: under {MOST_FRAGMENTS:.0%}), "
        f"{sections:.1%} with sections (target: {LEAST_SECTIONS:.0%} or more)"
    )
    return 0 if good else 1


def _row(name: str, figures: Figures) -> str:
    fragments = len(figures.fragments) / figures.docstrings if figures.docstrings else 0
    with_sections = figures.functions - len(figures.without_sections)
    sections = with_sections / figures.functions if figures.functions else 1
    counts = f"{figures.docstrings:>11}{fragments:>11.0%}{figures.functions:>11}{sections:>10.0%}"
    return f"{name:<36}{counts}"


if __name__ == "__main__":
    sys.exit(main())
