"""The files of scripts/deploy, each checked by the program or the schema that reads it.

The container file is parsed by Docker's own parser and checked by hadolint, compose.yaml by the
parser `compose_spec`, the manifests by the schemas of Kubernetes, the request for AgentCore by the
model that AWS publishes of its API. No container engine and no cluster runs here.
"""

import faulthandler
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
import yaml
from botocore.validate import ParamValidator
from packaging.requirements import Requirement
from typer.main import get_command

from sonic_voice.cli.commands import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "scripts" / "deploy"
KUBERNETES = "1.35"
GOODBYE_S = 30
"""Time after the drain that each platform must leave, in seconds."""


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"without {program}: apt-get install {program}")


def run(*command: str | Path, **options: Any) -> str:
    """Run a check that must succeed, and return what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def options_of(command: list[str]) -> dict[str, Any]:
    """Return the options of a `serve` command, as its own parser reads them."""
    root: Any = get_command(app)
    with root.make_context("sonic-voice", ["serve", *command]) as context:
        name, serve, rest = root.resolve_command(context, ["serve", *command])
        with serve.make_context(name, rest, parent=context) as parsed:
            assert not parsed.args, command
            return dict(parsed.params)


def certificate(folder: Path) -> Path:
    """Return a file with a key and a certificate."""
    issued = cast(Any, trustme.CA()).issue_cert("voice.example")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "voice.pem")
    return folder / "voice.pem"


def replaced(source: str, *pairs: tuple[str, str]) -> str:
    for written, here in pairs:
        assert written in source, written
        source = source.replace(written, here)
    return source


def test_haproxy_accepts_its_configuration(tmp_path: Path) -> None:
    need("haproxy")
    file = tmp_path / "haproxy.cfg"
    source = text("haproxy.cfg")
    file.write_text(replaced(source, ("/etc/haproxy/voice.pem", str(certificate(tmp_path)))))
    said = run("haproxy", "-c", "-f", file)
    assert "warning" not in said.lower()
    for line in ("balance leastconn", "timeout tunnel 1m", "uri /healthz"):
        assert line in source


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    need("nginx")
    pem = str(certificate(tmp_path))
    block = replaced(
        text("nginx.conf"),
        ("/etc/ssl/voice.example.pem", pem),
        ("/etc/ssl/voice.example.key", pem),
    )
    file = tmp_path / "nginx.conf"
    pid = f"pid {tmp_path}/nginx.pid;"
    file.write_text(
        f"{pid}\nerror_log stderr;\nevents {{ }}\nhttp {{\naccess_log off;\n{block}\n}}\n"
    )
    assert "[warn]" not in run("nginx", "-t", "-q", "-p", tmp_path, "-c", file, "-e", "stderr")


def test_systemd_accepts_its_unit_and_finds_it_confined(tmp_path: Path) -> None:
    need("systemd-analyze")
    source = text("sonic-voice.service")
    program = Path(sys.executable).with_name("sonic-voice")
    unit = tmp_path / "sonic-voice.service"
    unit.write_text(replaced(source, ("/opt/sonic-voice/bin/sonic-voice", str(program))))
    assert not run("systemd-analyze", "verify", "--man=no", unit)
    run("systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", unit)
    [start] = re.findall(r"^ExecStart=((?:.*\\\n)*.*)", source, re.MULTILINE)
    command = shlex.split(start.replace("\\\n", ""))
    options = options_of(command[2:])
    assert command[1] == "serve"
    [stop_s] = re.findall(r"^TimeoutStopSec=(\d+)$", source, re.MULTILINE)
    assert int(stop_s) >= options["drain_s"] + GOODBYE_S


def test_the_manifests_are_those_of_kubernetes() -> None:
    kubernetes: Any = import_module("kubernetes_validate")
    manifests: list[Any] = list(yaml.safe_load_all(text("kubernetes.yaml")))
    for manifest in manifests:
        kubernetes.validate(manifest, KUBERNETES, strict=True)
    wrong = {**manifests[1], "spec": {**manifests[1]["spec"], "replica": 2}}
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(wrong, KUBERNETES, strict=True)
    pod = manifests[1]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    options = options_of(container["args"])
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert "livenessProbe" not in container, "it would end the conversations of a pod that drains"
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    grace_s = pod["terminationGracePeriodSeconds"]
    assert grace_s >= pause_s + options["drain_s"] + GOODBYE_S
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"{options['redis']}".startswith(f"redis://{manifests[6]['metadata']['name']}:")
    for manifest in manifests:  # every selector finds the pods of this file
        if labels := manifest.get("spec", {}).get("selector"):
            labels = labels.get("matchLabels", labels)
            assert any(
                labels == other["spec"]["template"]["metadata"]["labels"]
                for other in manifests
                if other["kind"] == "Deployment"
            )


def test_the_compose_file_follows_the_specification() -> None:
    parser: Any = import_module("compose_spec").PyCompose
    compose = yaml.safe_load(text("compose.yaml"))
    parser.from_yaml(text("compose.yaml")).validate()
    for written, wrong in (
        ("stop_grace_period: 330s", "stop_grace: 330s"),
        ("stop_grace_period: 330s", "stop_grace_period: 330 seconds"),
        ("networks: [inside]", "networks: [outside]"),
    ):
        with pytest.raises(ValueError, match=r"compose|stop_grace|network|duration"):
            parser.from_yaml(text("compose.yaml").replace(written, wrong)).validate()
    voice = compose["services"]["voice"]
    options = options_of(voice["command"])
    assert int(voice["stop_grace_period"].removesuffix("s")) >= options["drain_s"] + GOODBYE_S
    [network] = compose["networks"]["inside"]["ipam"]["config"]
    assert options["trusted_proxy"] == [network["subnet"]]
    assert (ROOT / "scripts/deploy" / voice["build"]["context"]).resolve() == ROOT
    assert (ROOT / voice["build"]["dockerfile"]).is_file()
    mounted = [volume.split(":")[0] for volume in compose["services"]["haproxy"]["volumes"]]
    assert (DEPLOY / mounted[0]).is_file()
    assert "server-template voice 1-8 voice:8080" in text("haproxy.cfg")


def test_the_container_file_is_slim_and_not_roots() -> None:
    run(
        Path(sys.executable).with_name("hadolint"),
        "--failure-threshold",
        "style",
        DEPLOY / "Containerfile",
    )
    parser: Any = import_module("dockerfile")
    commands: list[Any] = list(parser.parse_file(str(DEPLOY / "Containerfile")))
    stages: dict[str, list[Any]] = {}
    for command in commands:
        if command.cmd.lower() == "from":
            assert command.value[0] in ("docker.io/library/python:3.12-slim", *stages)
            stages[command.value[-1]] = []
        else:
            next(reversed(stages.values())).append(command)
    assert list(stages)[-1] == "serve", "the stage that is built if none is named"
    base = [(command.cmd.lower(), command.value) for command in stages["base"]]
    assert base.index(("user", ("10001:10001",))) < base.index(("expose", ("8080",)))
    assert not [c for c in commands if c.cmd.lower() == "run" and "apt" in " ".join(c.value)]
    assert not any(
        package in (ROOT / "scripts/deploy/Containerfile").read_text().split("FROM", 1)[1]
        for package in ("portaudio", "pulse", "devices", "pyaudio")
    )
    for stage in ("agentcore", "serve"):
        [arguments] = [c.value for c in stages[stage] if c.cmd.lower() == "cmd"]
        options = options_of(list(arguments))
        assert options["agentcore"] or options["host"] == "0.0.0.0"
    for copied in (c for c in stages["build"] if c.cmd.lower() == "copy"):
        for source in copied.value[:-1]:
            assert (ROOT / source).exists(), source


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_the_commands_of_the_container_file_install_a_server_that_starts(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # pip may take longer than any other test
    parser: Any = import_module("dockerfile")
    program = str(tmp_path / "sonic-voice")
    for command in parser.parse_file(str(DEPLOY / "Containerfile")):
        if command.cmd.lower() == "copy" and not command.flags:
            target = tmp_path / "src" / command.value[-1]
            for source in command.value[:-1]:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__py*"))
                else:
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / source, target)
        elif command.cmd.lower() == "run" and not command.json:
            line = command.value[0].replace("/opt/sonic-voice", program)
            done = subprocess.run(
                ["bash", "-c", line.replace("python -m venv", f"{sys.executable} -m venv")],
                cwd=tmp_path / "src",
                check=False,
            )
            assert done.returncode == 0
    installed = run(f"{program}/bin/pip", "list", "--disable-pip-version-check")
    assert "redis" in installed
    assert "sounddevice" not in installed
    command = (f"{program}/bin/sonic-voice", "serve", "--port", "0", "--uvloop")
    pipe, environment = subprocess.PIPE, {**os.environ, "AWS_REGION": "us-east-1"}
    environment.pop("PYTHONPATH", None)
    with subprocess.Popen(command, stdout=pipe, text=True, cwd="/", env=environment) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[1]
            with urllib.request.urlopen(f"{url}healthz", timeout=10) as answer:
                assert answer.read() == b"ok\n"
        finally:
            process.terminate()


def test_what_the_container_installs_is_pinned_and_compiled_for_it() -> None:
    """The closure of the extras is in constraints.txt, and no member is built from source."""
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    [extras] = re.findall(r"'\.\[(.+)\]'", text("Containerfile"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own: dict[str, list[str]] = {"": project["dependencies"], **project["optional-dependencies"]}
    waiting = [("sonic-voice", extra) for extra in ("", *extras.split(","))]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        ours = name == "sonic-voice"
        for line in own[extra] if ours else distribution(name).requires or ():
            needed = Requirement(line)
            key = (needed.name.lower().replace("_", "-"), "")
            where = {"extra": extra, "platform_machine": "aarch64"}
            if needed.marker is None or needed.marker.evaluate(where):
                more = {key, *((key[0], part) for part in needed.extras)} - seen
                waiting += more
                seen |= more
    names = {name for name, _ in seen}
    assert {"websockets", "pyjwt", "uvloop", "numpy"} <= names
    assert names <= pinned | {"sonic-voice"}, names - pinned
    assert not names & {"sounddevice", "pulsectl", "pyaudio", "pywebrtc-audio"}


def test_the_request_for_agentcore_is_one_of_its_api() -> None:
    request: dict[str, Any] = json.loads(text("agentcore-runtime.json"))
    session: Any = import_module("botocore.session").get_session()
    model = session.get_service_model("bedrock-agentcore-control")
    shape = model.operation_model("CreateAgentRuntime").input_shape
    validator: Any = ParamValidator()
    report = validator.validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    report = validator.validate({**request, "protocol": "HTTP"}, shape)
    assert report.has_errors()
    for name, pattern in _patterns(shape, request):
        assert re.fullmatch(pattern, name), (name, pattern)
    headers = request["requestHeaderConfiguration"]["requestHeaderAllowlist"]
    assert headers == ["Authorization"], "the bridge learns the subject from it"
    for policy in ("agentcore-policy.json", "agentcore-trust.json"):
        statements = json.loads(text(policy))["Statement"]
        assert all(statement["Effect"] == "Allow" for statement in statements)
    run("bash", "-n", DEPLOY / "agentcore")
    assert os.access(DEPLOY / "agentcore", os.X_OK)


def _patterns(shape: Any, value: Any) -> list[tuple[str, str]]:
    """Return each text of a request with the pattern of its API, which botocore does not check."""
    found: list[tuple[str, str]] = []
    for name, part in value.items():
        member = shape.members[name]
        if member.type_name == "structure":
            found += _patterns(member, part)
        elif "pattern" in member.metadata:
            found.append((part, member.metadata["pattern"]))
    return found


def test_every_file_has_a_check_and_a_line_in_the_readme() -> None:
    readme = text("README.md")
    here = Path(__file__).read_text(encoding="utf-8")
    for file in DEPLOY.iterdir():
        assert file.name in readme or file.name == "README.md", file.name
        assert file.name in here or file.suffix == ".md", file.name
