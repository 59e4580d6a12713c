"""JSON and base64 by the fastest installed package, with the meaning of the standard library.

`orjson` and `pybase64` (extra `fast`) are optional. The standard library is asked for whatever they
refuse: `json` accepts lone surrogates, `NaN` and other encodings than UTF-8, and `base64` accepts
superfluous padding. So the same payloads can be read with and without the packages. One difference
remains: an integer of more than 64 bits becomes a float with `orjson`. No event has one, and
`whole_number` refuses both.
"""

import base64
import json
from collections.abc import Callable
from functools import partial
from typing import Any

load_json: Callable[[bytes], Any]
"""Return the value of a JSON text. Raises `ValueError` if it is not JSON, and `RecursionError` if
it is nested too deeply."""

encode_base64: Callable[[bytes], bytes]
"""Return the base64 text that stands for bytes."""

decode_plain_base64: Callable[[bytes | str], bytes]
"""Return the bytes that a base64 text without superfluous padding stands for. Raises `ValueError`
if there is any other character in it, or too little padding."""

decode_base64: Callable[[bytes | str], bytes]
"""Return the bytes that a base64 text stands for. Raises `ValueError` if there is any other
character in it, or too little padding."""

_strictly_decoded = partial(base64.b64decode, validate=True)


try:
    import orjson
except ImportError:
    load_json = json.loads
else:
    _fast_loads, _JsonError = orjson.loads, orjson.JSONDecodeError

    def _loads(text: bytes) -> Any:
        try:
            return _fast_loads(text)
        except _JsonError:
            return json.loads(text)

    load_json = _loads

try:
    import pybase64
except ImportError:
    encode_base64 = base64.b64encode
    decode_plain_base64 = decode_base64 = _strictly_decoded
else:
    decode_plain_base64 = _fast_decoded = partial(pybase64.b64decode, validate=True)

    def _decoded(text: bytes | str) -> bytes:
        try:
            return _fast_decoded(text)
        except ValueError:
            return _strictly_decoded(text)

    encode_base64, decode_base64 = pybase64.b64encode, _decoded
