"""The doctor's judgement, where no machine is needed for it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import numpy as np
import pytest

from sonic_voice.audio.pcm import to_pcm
from sonic_voice.doctor import Finding, Options, finding_lines, findings_as_json, talking_works
from sonic_voice.doctor.installation import satisfies
from sonic_voice.doctor.runner import Check, findings_of
from sonic_voice.doctor.service import SignedRequest
from sonic_voice.doctor.sound import TONE_S, echo_gain, tone
from sonic_voice.doctor.sound_findings import ROOM_MARGIN_GAIN
from sonic_voice.errors import ConnectionLost, DeviceError, service_error

from .test_import import HEAVY, loaded_by

RATE_HZ = 16_000

OK = Finding("microphone", "ok", "the room is at -50 dB")
WARNING = Finding("echo", "warning", "heard.", "Run: pip install '.[echo]'")
FAILURE = Finding("credentials", "failure", "none.", "Set some.")


@pytest.mark.parametrize(
    ("version", "wanted", "within"),
    [
        ("0.12.0", ">=0.12,<0.13", True),
        ("0.12.9", "<0.13,>=0.12", True),
        ("0.9.0", ">=0.12,<0.13", False),  # as text it would be the later one
        ("0.13", ">=0.12,<0.13", False),
        ("0.13.0", ">=0.12,<0.13", False),
        ("1.0", ">=1.0.0", True),
        ("0.6.4", "~=0.6.0", True),
        ("0.7.0", "~=0.6.0", False),
        ("0.5.9", "~=0.6.0", False),
        ("2.9", "~=2.2", True),
        ("1.2.3", "==1.2.*", True),
        ("1.3", "==1.2.*", False),
        ("1.3", "!=1.3.0", False),
        ("1.10", ">1.9,<=1.10", True),
        ("4.0rc1", "<4", False),
        ("5", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, wanted: str, within: bool) -> None:
    assert satisfies(version, wanted) is within


def test_a_warning_lets_one_talk_and_a_failure_does_not() -> None:
    assert talking_works([OK, WARNING])
    assert not talking_works([OK, FAILURE, WARNING])


def test_the_fix_stands_below_what_was_found() -> None:
    assert finding_lines(OK) == ["ok       microphone        the room is at -50 dB"]
    found, fix = finding_lines(FAILURE)
    assert found.startswith("failure  credentials")
    assert fix.index("-> Set some.") == found.index("none.")


def test_the_json_has_all_of_it() -> None:
    report = json.loads(findings_as_json([OK, FAILURE]))
    assert report["talking_works"] is False
    assert report["findings"][1] == {
        "name": "credentials",
        "grade": "failure",
        "found": "none.",
        "fix": "Set some.",
    }


@pytest.mark.parametrize(
    ("breaks", "found", "fix"),
    [
        (DeviceError("No sound.", hint="Buy some."), "No sound.", "Buy some."),
        (ImportError("no module"), "This check broke: ImportError: no module", "report"),
    ],
)
async def test_a_check_that_breaks_is_a_failure_and_keeps_what_it_found(
    breaks: Exception, found: str, fix: str
) -> None:
    async def look(_: Options) -> AsyncIterator[Finding]:
        yield OK
        raise breaks

    first, second = await findings_of(Check("sound", look, 5), Options())
    assert first == OK
    assert (second.name, second.grade, second.found) == ("sound", "failure", found)
    assert fix in second.fix


async def test_a_check_that_hangs_is_a_failure() -> None:
    async def look(_: Options) -> AsyncIterator[Finding]:
        yield OK
        await asyncio.Event().wait()

    first, second = await findings_of(Check("sound", look, 0.01), Options())
    assert first == OK
    assert (second.name, second.grade) == ("sound", "failure")
    assert "0.01 s" in second.found


# The texts of AWS, the clock of this side an hour behind and ahead, and the emulator's.
EARLY = "Signature expired: 20261122T110000Z is now earlier than 20261122T115500Z "
LATE = "Signature not yet current: 20261122T130000Z is still later than 20261122T120500Z "


@pytest.mark.parametrize(
    ("text", "offset_min"),
    [
        (EARLY + "(20261122T120000Z - 5 min.)", -60),
        (LATE + "(20261122T120000Z + 5 min.)", 60),
        ("Signature expired: 20261122T110000Z is too far from 20261122T120000Z", -60),
    ],
)
def test_a_refusal_tells_how_wrong_the_clock_is(text: str, offset_min: int) -> None:
    signed = SignedRequest(service_error("InvalidSignatureException", text, status=403))
    assert not signed.accepted
    assert signed.clock_offset == timedelta(minutes=offset_min)


@pytest.mark.parametrize(
    ("code", "accepted"),
    [
        ("ResourceNotFoundException", True),
        ("ValidationException", True),
        ("UnrecognizedClientException", False),
        ("AccessDeniedException", False),
        ("ThrottlingException", False),
        ("UnknownOperationException", False),
    ],
)
def test_a_signature_is_taken_when_only_the_model_is_refused(code: str, accepted: bool) -> None:
    signed = SignedRequest(service_error(code, "No."))
    assert signed.accepted is accepted
    assert signed.clock_offset is None


def test_a_lost_connection_takes_no_signature() -> None:
    assert not SignedRequest(ConnectionLost("Gone.", reason="cut")).accepted


@pytest.mark.parametrize("played_at", [1.0, 0.1, 0.01])
def test_the_tone_is_found_in_noise_as_loud_as_it_was_played(played_at: float) -> None:
    noise = np.random.default_rng(1).normal(0, 0.005, 2 * RATE_HZ).astype(np.float32)
    heard, sound = noise.copy(), tone(RATE_HZ)
    heard[5000 : 5000 + len(sound)] += played_at * sound
    assert echo_gain(to_pcm(heard), RATE_HZ) == pytest.approx(played_at, rel=0.15)
    assert echo_gain(to_pcm(noise), RATE_HZ) < 0.01 / ROOM_MARGIN_GAIN


def test_the_tone_is_as_long_as_it_says() -> None:
    assert len(tone(RATE_HZ)) == round(TONE_S * RATE_HZ)


def test_importing_the_doctor_loads_nothing_that_a_check_needs() -> None:
    loaded = loaded_by("import sonic_voice.doctor")
    assert "sonic_voice.doctor.runner" in loaded
    assert loaded & set(HEAVY) == set()
