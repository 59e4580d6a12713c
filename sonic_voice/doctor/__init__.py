"""Checks of everything that a conversation needs, with the next step for each failure.

    async for finding in examine(Options()):
        print(*finding_lines(finding), sep="\\n")

A finding is graded `ok`, `warning` (talking works, though not as well as it could) or `failure`
(talking does not work). The checks run concurrently, each with its own deadline, and an exception
in one does not stop the others: it becomes a failure of that check. A part that cannot be checked
because of an earlier failure is not listed.

    installation   the versions of Python and of the required packages, the SDK's included
    account        region and model, by the catalog; the source and the expiry of credentials
    service        TCP, TLS and HTTP/2 to the endpoint, proxies, the clock, a signature
    sound          sound library, microphone, loudspeaker, and echo between the two
    emulator       its engines, and a spoken turn with it

No check opens a stream to a model of the service, so the checks cost nothing (see `service`). Of
the credentials only the last four characters of the access key id are shown.
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
