"""Warn of clear faults in the prompt and the tools of a session that starts.

`sonic-voice lint` reports all findings; a session logs those of the rules that are hardly ever
wrong, each rule once per process, so that a server with many conversations is not noisy. A log has
no words of a conversation: a warning has the line and the reason, and not the text.
"""

import logging

from .advice import RULES, review_prompt, review_tools
from .config import SessionConfig

MAX_REVIEWED = 8_000
"""Maximum length of the prompt that is looked at, in characters. The review runs in the event loop
before the connection is opened, and takes about 2 ms for each 1,000 characters."""

_warned: set[str] = set()
"""Names of the rules that this process has warned of."""

_log = logging.getLogger(__name__)


def warn_of_faults(config: SessionConfig) -> None:
    """Log a warning for each clear fault of a kind that this process has not warned of.

    Args:
        config: The configuration of the session that starts.
    """
    findings = review_prompt(
        config.system[:MAX_REVIEWED],
        silent_tools=config.voice_model.silent_tools,
        tools=[tool.name for tool in config.tools],
    )
    for finding in (*findings, *review_tools(config.tools)):
        if finding.clear and finding.rule not in _warned:
            _warned.add(finding.rule)
            place = (
                f"Tool {finding.tool}" if finding.tool else f"System prompt, line {finding.line}"
            )
            _log.warning(
                "%s: %s: %s `sonic-voice lint` proposes a rewrite.",
                place,
                finding.rule,
                RULES[finding.rule].reason,
            )
