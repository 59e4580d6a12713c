"""Advice on system prompts and tools: rules that find what a voice model handles badly.

    findings       a finding, and the table of all rules with their reasons
    prompt_rules   the text of a system prompt, line by line
    contradictions sentences of a prompt that contradict or repeat each other
    tool_rules     names, descriptions and schemas of tools
    definitions    tool definitions in JSON files, with the line of each part

The rules come from AWS's prompting guides for Nova Sonic, and those of schemas from protocol
reference 8.1. They read text and have no opinion on what an assistant is for. A rule reports only
what it can name with a line and a proposed rewrite; where a guide gives no number, the number is a
choice of this project and its docstring says so.
"""

from .findings import RULES, Finding, Rule
from .prompt_rules import review_prompt
from .tool_rules import review_tools

__all__ = ["RULES", "Finding", "Rule", "review_prompt", "review_tools"]
