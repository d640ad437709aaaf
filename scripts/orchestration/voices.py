"""Who speaks: inbox messages and commits of the harness carry its Ed25519 signature.

The private key lies in the state folder, out of every agent's reach; the public key is in the log's
`run_start` events, so that `verify` finds it on the log branch of any clone. A signature is two
words of 64 hexadecimal digits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.errors import HarnessError

if TYPE_CHECKING:  # it is needed to sign and to verify, and costs a start what it need not
    from nacl.signing import SigningKey

KEY = Path("keys") / "signing.key"


@dataclass(frozen=True)
class Voice:
    """A private key and its public half (64 hexadecimal digits)."""

    _key: SigningKey
    public: str

    def sign(self, what: str, data: bytes) -> str:
        """The signature of `data` as a `what` (commit, message): one is no signature of another."""
        digits = self._key.sign(_bound(what, data)).signature.hex()
        return f"{digits[:64]} {digits[64:]}"


def own_voice(state_dir: Path) -> Voice:
    """The voice of a state folder; its key is made where there is none yet.

    Raises:
        HarnessError: the key cannot be read.
    """
    return known_voice(state_dir) or _make(state_dir)


def known_voice(state_dir: Path) -> Voice | None:
    """The voice of a state folder, or None where it has no key; HarnessError for a broken one."""
    from nacl.signing import SigningKey

    place = state_dir / KEY
    try:
        key = SigningKey(bytes.fromhex(place.read_text("ascii").strip()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise HarnessError(
            "the harness's signing key cannot be read",
            where=place,
            expected="64 hexadecimal digits",
            got=str(problem),
            fix=f"put it back from a backup, or move it away and begin a new one: mv {place} ...",
        ) from None
    return Voice(key, key.verify_key.encode().hex())


def _make(state_dir: Path) -> Voice:
    from nacl.signing import SigningKey

    place = state_dir / KEY
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = place.with_name(f".{place.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(SigningKey.generate().encode().hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, place)  # of two that begin at once, one key stays
    except FileExistsError:
        pass
    finally:
        part.unlink()
    made = known_voice(state_dir)
    assert made is not None
    return made


def spoken_by(public: str, what: str, data: bytes, signature: str) -> bool:
    """Whether `signature` is that of the key with this public half."""
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    try:
        key = VerifyKey(bytes.fromhex(public))
        key.verify(_bound(what, data), bytes.fromhex(signature))
    except (ValueError, BadSignatureError):
        return False
    return True


def _bound(what: str, data: bytes) -> bytes:
    return f"orchestration {what}\n".encode() + data
