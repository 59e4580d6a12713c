"""The state that the processes of one address share: limits, used tokens, conversations, owners.

    admit ──► counted against the limits, the token used up, this process its owner
    renew ──► counted for `LEASE_S` more; says which conversations another process has taken
    release ─► counted no longer

Counts are leases: those of a process that was killed expire by themselves. Every conversation has
one *owner*, the process that has admitted or loaded it last; only the owner may store it. A process
that was replaced learns so from `renew`, and ends its part.

`redis_state` implements it. Without it each process counts by itself, see `admission`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import SonicError
from .limits import BridgeLimits
from .store import Store

LEASE_S = 10.0
"""Time after which the counts of a process that was killed expire, in seconds: long enough for a
process that was held up for several seconds."""

RENEW_S = 2.0
"""Interval at which a process renews its counts, in seconds: a fifth of `LEASE_S`, so that four may
be late."""


class StateUnavailable(SonicError):
    """The shared state cannot be reached. It has been logged; each process goes on by itself."""

    def __init__(self) -> None:
        super().__init__("What the servers share cannot be reached just now.")


@dataclass(frozen=True, slots=True)
class Claim:
    """One conversation that is counted."""

    key: str
    """Its key in the store, see `saving.store_key`."""
    subject: str = ""
    """Subject of its token; empty if there is none, which is not limited."""
    client: str = ""
    """Key of the client's address, see `forwarding.client_key`."""
    token: str = ""
    """Key of the token that opens it and may open no other; empty if it needs none, or if tokens
    may be used several times."""
    token_s: float = 0.0
    """Time for which that token is still valid, in seconds."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The outcome of a renewal."""

    taken: frozenset[str] = frozenset()
    """Keys of conversations that another process has taken over."""
    lost: frozenset[str] = frozenset()
    """Keys of conversations that were no longer known, and should be stored again."""


class SharedState(Store, Protocol):
    """The state that several processes share. All calls have a deadline of about a second.

    `load` makes this process the owner of a conversation that is stored. `save` does nothing if
    another process is its owner.

    Raises:
        StateUnavailable: From each method but `aclose`, if the state cannot be reached in time.
    """

    async def admit(self, claim: Claim, limits: BridgeLimits) -> None:
        """Count a conversation, use up its token, and become its owner. May be repeated.

        Args:
            claim: The conversation. One that is counted already, because another process has begun
                it, is not counted again.
            limits: The limits `sessions`, `of_subject` and `of_address`.

        Raises:
            BridgeRefusal: `FULL`, `TOO_MANY_OF_SUBJECT`, `TOO_MANY_OF_ADDRESS`, or `EXPIRED` if the
                token has opened another conversation. Nothing is then changed.
        """
        ...

    async def renew(self, claims: Sequence[Claim]) -> Renewal:
        """Count conversations for `LEASE_S` more.

        Args:
            claims: All conversations of this process, as they were admitted.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Count a conversation no longer, unless another process has taken it over.

        Args:
            claim: The conversation, as it was admitted.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections. May be called again."""
        ...
