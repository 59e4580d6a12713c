"""Would talking work here? Every part that a conversation needs, looked at, with what to do.

    async for finding in examine(Options()):
        print(*finding_lines(finding), sep="\\n")

Findings are graded `ok`, `warning` (talking works, though not as well as it could) or `failure`
(it would not). Checks run side by side, each with a deadline of its own, and none can hide another:
one that breaks is itself a failure. What cannot be looked at because of a failure is not listed;
that failure stands for it.

    installation   Python, and the SDK's packages against what this one asks for
    account        region and model, by the catalog; credentials, from where and until when
    service        TCP, TLS and HTTP/2 to the endpoint, proxies, the clock, a signature
    sound          library, microphone, loudspeaker, and whether one hears the other
    emulator       its engines, and a spoken turn with it

Nothing here opens a stream to a model of the service, so nothing costs money (see `service`), and
of credentials no more is ever shown than the last four letters of the key's id.
"""

from .finding import Finding, Grade, finding_lines, findings_as_json, talking_works
from .options import Options
from .runner import examine

__all__ = [
    "Finding",
    "Grade",
    "Options",
    "examine",
    "finding_lines",
    "findings_as_json",
    "talking_works",
]
