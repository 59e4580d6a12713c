# pyright: basic, reportMissingImports=false
"""The AWS SDK for JavaScript, with `talk.mjs` of the end-to-end tests as its application."""

import json
import os
import subprocess
from pathlib import Path

from driver import MODEL, VOICE, report

SAMPLE = Path(os.environ["INTEROP_SAMPLE"])


def main() -> None:
    package = SAMPLE / "node_modules" / "@aws-sdk" / "client-bedrock-runtime" / "package.json"
    report(versions={"client-bedrock-runtime": json.loads(package.read_text())["version"]})
    settings = json.dumps({"model": MODEL, "voice": VOICE})
    command = ("node", SAMPLE / "talk.mjs", os.environ["INTEROP_SPEECH"], settings)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            match json.loads(line):
                case {"role": "USER", "text": text}:
                    report(user=text)
                case {"role": "ASSISTANT", "stage": "SPECULATIVE", "text": text}:
                    report(assistant=text)
                case {"interrupted": True, "atMs": at_ms}:
                    report(interrupted=True, at_s=at_ms / 1000)
                case {"tool": tool, "arguments": arguments}:
                    report(tool=tool, arguments=arguments)
                case {"error": name, "message": message}:
                    report(error=f"{name}: {message}")


main()
