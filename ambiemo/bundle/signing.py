"""Signatures over a bundle's tag manifest, by OpenSSH: writes them, reads them, describes them.

A signature says who vouches for a bundle only to somebody who got the key by another way. So there
are three states: not signed; signed by a key that nobody here vouches for; signed by a name of the
reader's own list of signers.
"""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ambiemo.bundle.bag import SIGNATURE, TAG_MANIFEST
from ambiemo.bundle.folder import Disk
from ambiemo.durable import write
from ambiemo.errors import BadInput, Broken, shown
from ambiemo.limits import TAG_FILE, TooMuch, read_regular

SIGNER, NAMESPACE = "authors", "ambiemo-bundle"
PATIENCE_S = 60
ARMOUR = re.compile(
    rb"-----BEGIN SSH SIGNATURE-----\r?\n(?:[A-Za-z0-9+/=]+\r?\n)+-----END SSH SIGNATURE-----\r?\n"
)
ONE_SIGNER = re.compile(
    rb"authors [a-z0-9.@-]+ [A-Za-z0-9+/=]+(?: [!-~]{0,100})?\n"
)  # a comment is one word
"""No other word: no manifest lists the two files, so nothing else vouches for what they say."""
FINGERPRINT = re.compile(r"key (SHA256:[A-Za-z0-9+/=]{43,44})")


@dataclass(frozen=True)
class Signed:
    """Who signed: `fingerprint` of the key ("" = not signed), `name` in the reader's list of
    signers ("" = not in it, or no list).

    wrong: why a signature that is there is not good, "" if it is.
    """

    fingerprint: str = ""
    name: str = ""
    wrong: str = ""

    def words(self) -> str:
        """The state in words."""
        if self.wrong:
            return "badly signed"
        if not self.fingerprint:
            return "not signed"
        return (
            f"signed by {self.name} ({self.fingerprint})"
            if self.name
            else f"signed by {self.fingerprint}, key not checked"
        )


def signature(disk: Disk, signers: Path | None = None) -> Signed:
    """Who signed a bundle. signers: a file of allowed signers that the reader trusts
    (ssh-keygen(1)).

    Raises BadInput for a list of signers that cannot be read, and where ssh-keygen is not there.
    """
    if not all(name in disk.files for name in (*SIGNATURE, TAG_MANIFEST)):
        return Signed()
    sig, inside = SIGNATURE
    data = disk.read(TAG_MANIFEST)
    for name, form in ((sig, ARMOUR), (inside, ONE_SIGNER)):
        if not form.fullmatch(disk.read(name)):
            return Signed(wrong=f"{name} says more than a signature needs, or less")
    with (
        tempfile.TemporaryDirectory() as own
    ):  # ssh-keygen reads copies, so nobody can exchange the files between its calls
        sig_copy, theirs = Path(own, "sig"), Path(own, "inside")
        sig_copy.write_bytes(disk.read(sig))
        theirs.write_bytes(disk.read(inside))
        code, output = _asked("check-novalidate", "-s", str(sig_copy), data=data)
        key = FINGERPRINT.search(output)
        if code or key is None:
            return Signed(wrong=shown(output.strip()) or "a bad signature")
        code, output = _asked(
            "verify", "-f", str(theirs), "-I", SIGNER, "-s", str(sig_copy), data=data
        )
        if code:
            return Signed(
                key[1],
                wrong=f"allowed_signers of the bundle does not name the key as {SIGNER}: {shown(output.strip())}",
            )
        if signers is None:
            return Signed(key[1])
        trusted = Path(own, "trusted")
        trusted.write_bytes(_list_of(signers))
        code, output = _asked("find-principals", "-f", str(trusted), "-s", str(sig_copy), data=data)
        names = output.splitlines() if code == 0 else []
        for name in names:
            if (
                _asked("verify", "-f", str(trusted), "-I", name, "-s", str(sig_copy), data=data)[0]
                == 0
            ):
                return Signed(key[1], name=shown(name, 100))
        return Signed(key[1])


def sign(disk: Disk, key: Path) -> str:
    """Sign a bundle's tag manifest and put signature and allowed_signers next to it; the key's
    fingerprint.

    Raises BadInput for a key that cannot be used; Broken where the signature that was made is not
    good.
    """
    try:
        read_regular(key, TAG_FILE)
    except (OSError, TooMuch) as error:
        raise BadInput(
            f"--key {shown(str(key))}: {getattr(error, 'strerror', None) or error}; name a private key file"
        ) from error
    code, output = _asked("sign", "-f", str(key.resolve()), data=disk.read(TAG_MANIFEST))
    key_code, public = _keygen("-y", "-f", str(key.resolve()))
    if code or key_code or not output.startswith("-----BEGIN SSH SIGNATURE-----"):
        raise BadInput(
            f"--key {shown(str(key))}: ssh-keygen cannot sign with it: {shown((output if code else public).strip())}"
        )
    sig, inside = SIGNATURE
    kind, blob, *_ = public.split()  # no comment: it may be USER@HOST
    write(disk.root / inside, f"{SIGNER} {kind} {blob}\n".encode())
    write(disk.root / sig, output.encode())
    again = Disk(disk.root, {**disk.files, sig: len(output), inside: 1}, {})
    outcome = signature(again)
    if outcome.wrong:
        raise Broken(
            f"{shown(str(disk.root))}: the signature that was made is not good: {outcome.wrong}"
        )
    return outcome.fingerprint


def _list_of(signers: Path) -> bytes:
    try:
        return read_regular(signers, TAG_FILE)
    except (OSError, TooMuch) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(
            f"--signers {shown(str(signers))}: {why}; name a file of allowed signers, `NAME KEYTYPE KEY` a line"
        ) from error


def _asked(what: str, *arguments: str, data: bytes) -> tuple[int, str]:
    return _keygen(
        "-Y", what, *(() if what == "find-principals" else ("-n", NAMESPACE)), *arguments, data=data
    )


def _keygen(*arguments: str, data: bytes = b"") -> tuple[int, str]:
    """Exit code of ssh-keygen and what it printed."""
    try:
        done = subprocess.run(
            ["ssh-keygen", *arguments],
            input=data,
            capture_output=True,
            timeout=PATIENCE_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = getattr(error, "strerror", None) or "it does not end"
        raise BadInput(
            f"ssh-keygen: {why}; install OpenSSH 8.2 or newer to sign bundles and to check signatures"
        ) from error
    return done.returncode, (done.stdout if done.returncode == 0 else done.stderr).decode(
        "utf-8", "backslashreplace"
    )
