"""How MCP servers are named, what their tools are called, and how results and answers are read."""

import json
from typing import Any

import pytest

from sonic_voice.errors import ConfigError
from sonic_voice.mcp_servers.definitions import MAX_TOOLS, ListedTool, describe_tools
from sonic_voice.mcp_servers.questions import (
    MAX_QUESTIONS,
    NotUnderstoodError,
    Question,
    parse_answer,
    read_form,
)
from sonic_voice.mcp_servers.results import MAX_RESULT_BYTES, result_value
from sonic_voice.mcp_servers.targets import read_servers, read_target

# -- targets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("uvx mcp-server-time --local-timezone Asia/Tokyo", "mcp-server-time"),
        ("npx -y @modelcontextprotocol/server-memory", "@modelcontextprotocol/server-memory"),
        ("python3.12 -m mcp_server_time", "mcp_server_time"),
        ("'/opt/my servers/robot' --key secret", "robot"),
        ("uv run tools/robot.py", "robot.py"),
        ("https://me:secret@robot.example:8443/mcp?key=secret", "robot.example:8443/mcp"),
    ],
)
def test_a_server_has_a_name_without_secrets(text: str, name: str) -> None:
    server = read_target(text)
    assert server.name == name
    assert "secret" not in repr(server)
    assert bool(server.command) != bool(server.url)


@pytest.mark.parametrize("text", ["", "  ", "robot 'open"])
def test_a_command_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_target(text)


def test_a_standard_file_names_commands_and_urls() -> None:
    document = {
        "mcpServers": {
            "time": {
                "command": "uvx",
                "args": ["mcp-server-time", "${ZONE:-UTC}"],
                "env": {"KEY": "${KEY}"},
                "cwd": "/srv",
            },
            "notes": {"type": "http", "url": "https://notes.example/mcp", "headers": {"A": "b"}},
            "old": {"command": "old", "disabled": True},
        }
    }
    time, notes = read_servers(json.dumps(document), "mcp.json", {"KEY": "k"})
    assert (time.name, time.command) == ("time", ("uvx", "mcp-server-time", "UTC"))
    assert (dict(time.environment), time.folder) == ({"KEY": "k"}, "/srv")
    assert (notes.url, dict(notes.headers)) == ("https://notes.example/mcp", {"A": "b"})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "neither a command nor a URL"),
        ({"command": "a", "url": "b"}, "or both"),
        ({"command": "a", "env": {"A": 1}}, "neither"),
        ({"command": "a", "args": "b"}, "neither"),
        ({"type": "sse", "url": "https://x"}, "given up"),
        ({"url": "https://x", "headers": {"A": "${NO_SUCH}"}}, "variable NO_SUCH"),
        ("uvx", "no object"),
    ],
)
def test_an_entry_that_names_no_server_is_explained(entry: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        read_servers(json.dumps({"mcpServers": {"x": entry}}), "mcp.json", {})
    assert "mcp.json: the server 'x'" in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mcpServers": []}'])
def test_a_file_without_servers_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_servers(text, "mcp.json", {})


# -- definitions --------------------------------------------------------------------------------

OBJECT = {"type": "object"}


def test_names_that_the_service_refuses_are_mapped_and_kept_apart() -> None:
    names = ["go.now", "go/now", "go now", "ok", "x" * 70, "...", "taken"]
    tools, _ = describe_tools([ListedTool(n, "", OBJECT) for n in names], "my.bot", {"taken"})
    given = ["go_now", "my_bot_go_now", "my_bot_go_now_2", "ok", "x" * 64, "tool", "my_bot_taken"]
    assert [tool.spec.name for tool in tools] == given
    assert [tool.listed.name for tool in tools] == names


def test_what_a_simpler_schema_loses_is_named() -> None:
    node: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    schema = {
        "type": "object",
        "$defs": {"Node": node},
        "properties": {
            "when": {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            "node": {"$ref": "#/$defs/Node"},
            "gone": {"$ref": "#/$defs/Gone"},
        },
    }
    [tool], [notice] = describe_tools([ListedTool("go", "Go.", schema)], "robot", ())
    assert tool.spec.schema["properties"]["when"] == {"type": "string"}
    for lost in ("when: string or integer", "Node inside itself", "gone: the reference"):
        assert lost in notice


def test_a_schema_without_a_type_is_that_of_a_tool_without_arguments() -> None:
    [tool], notices = describe_tools([ListedTool("go", "", {})], "robot", ())
    assert tool.spec.schema == {"type": "object", "properties": {}}
    assert notices == []


def test_of_very_many_tools_the_first_are_offered() -> None:
    many = [ListedTool(f"go{number}", "", OBJECT) for number in range(MAX_TOOLS + 1)]
    tools, [notice] = describe_tools(many, "robot", ())
    assert len(tools) == MAX_TOOLS
    assert f"has {MAX_TOOLS + 1} tools" in notice


# -- results ------------------------------------------------------------------------------------


def text(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": one} for one in texts]


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ({"content": text("a", "b")}, {"result": "a\nb"}),
        ({"content": text('{"a": 1}')}, {"a": 1}),
        ({"content": text("[1, 2]")}, {"result": [1, 2]}),
        ({"content": text("{a}")}, {"result": "{a}"}),
        ({"content": text("x"), "structuredContent": {"result": 5}}, {"result": 5}),
        ({"content": text("x"), "structuredContent": [5]}, {"result": [5]}),
        ({"content": []}, {"result": ""}),
        ({"content": text("hot"), "isError": True}, {"error": "hot"}),
        ({"content": [], "isError": True}, {"error": "The tool failed without a message."}),
        (
            {"content": [{"type": "image", "mimeType": "image/png", "data": "A" * 99}]},
            {"result": "(an image, image/png)"},
        ),
        (
            {"content": [{"type": "resource", "resource": {"uri": "f:/a", "text": "words"}}]},
            {"result": "words"},
        ),
        (
            {"content": [{"type": "resource_link", "name": "a", "uri": "f:/a"}]},
            {"result": "(a, f:/a)"},
        ),
    ],
)
def test_a_result_is_an_object(result: dict[str, Any], value: dict[str, Any]) -> None:
    assert result_value(result) == value


@pytest.mark.parametrize("size", [MAX_RESULT_BYTES * 2, MAX_RESULT_BYTES * 200])
@pytest.mark.parametrize("letter", ["a", "ü", '"'])
def test_a_large_result_is_cut(size: int, letter: str) -> None:
    value = result_value({"content": [], "structuredContent": {"list": [letter * size]}})
    assert len(json.dumps(value, ensure_ascii=False).encode()) <= MAX_RESULT_BYTES * 1.1
    assert "beginning" in value["note"]


# -- questions and answers ----------------------------------------------------------------------


def question(**schema: Any) -> Question:
    form = read_form("Which?", {"type": "object", "properties": {"x": schema}, "required": ["x"]})
    assert form is not None
    return form[0]


COLOURS = {
    "type": "string",
    "oneOf": [{"const": "r", "title": "dark red"}, {"const": "g", "title": "green"}],
}


@pytest.mark.parametrize(
    ("schema", "said", "value"),
    [
        ({"type": "boolean"}, "Yes, please.", True),
        ({"type": "boolean"}, "no", False),
        ({"type": "integer"}, "4", 4),
        ({"type": "integer"}, "four people", 4),
        ({"type": "integer"}, "1,200", 1200),
        ({"type": "number"}, "2.5 liters", 2.5),
        ({"type": "string", "enum": ["small", "large"]}, "Large.", "large"),
        ({"type": "string", "enum": ["small", "large"]}, "the large one", "large"),
        (COLOURS, "red", "r"),
        (COLOURS, "g", "g"),
        ({"type": "array", "items": COLOURS}, "red and green", ["r", "g"]),
        ({"type": "string", "format": "date"}, "2026-03-14", "2026-03-14"),
        ({"type": "string", "format": "email"}, "a@b.example", "a@b.example"),
        ({"type": "string"}, " Ada ", "Ada"),
    ],
)
def test_an_answer_is_parsed(schema: dict[str, Any], said: str, value: object) -> None:
    parsed = parse_answer(question(**schema), said)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "boolean"}, "perhaps"),
        ({"type": "boolean"}, "yes or no"),
        ({"type": "integer"}, "many"),
        ({"type": "integer"}, "the blue one"),
        ({"type": "integer"}, "2.5"),
        ({"type": "integer"}, "3 or 4"),
        ({"type": "integer", "maximum": 8}, "9"),
        ({"type": "string", "enum": ["small", "large"]}, "medium"),
        ({"type": "string", "enum": ["small", "large"]}, ""),
        (COLOURS, "red or green"),
        ({"type": "array", "items": COLOURS}, "red and blue"),
        ({"type": "string", "format": "date"}, "tomorrow"),
        ({"type": "string", "format": "email"}, "Ada"),
        ({"type": "string", "minLength": 3}, "A"),
    ],
)
def test_an_answer_of_another_kind_is_not_understood(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(NotUnderstoodError):
        parse_answer(question(**schema), said)


def test_the_required_fields_of_a_form_are_asked_one_after_the_other() -> None:
    fields = {
        "people": {"type": "integer", "title": "People"},
        "name": {"type": "string", "description": "Under which name?"},
        "note": {"type": "string"},
    }
    form = read_form("A table.", {"properties": fields, "required": ["people", "name"]})
    assert form is not None
    assert [one.text for one in form] == ["A table. People", "Under which name?"]
    assert [one.expected for one in form] == ["a whole number in digits", "a text"]


def test_a_form_without_fields_asks_for_yes_or_no() -> None:
    form = read_form("Really?", {"type": "object", "properties": {}})
    assert form is not None
    assert [(one.field, one.text, one.expected) for one in form] == [("", "Really?", "yes or no")]


@pytest.mark.parametrize(
    "fields",
    [
        {"x": {"type": "object"}},
        {"x": {"type": "array", "items": {"type": "string"}}},
        {f"x{number}": {"type": "string"} for number in range(MAX_QUESTIONS + 1)},
    ],
)
def test_a_form_that_is_made_for_the_eye_is_not_spoken(fields: dict[str, Any]) -> None:
    assert read_form("Fill this in.", {"type": "object", "properties": fields}) is None
