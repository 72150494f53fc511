# SPDX-License-Identifier: Apache-2.0
"""Three software tokens, each with its data in a folder of its own: as different as tokens of different vendors.

SoftHSM is told its folder by a variable. openCryptoki and p11-kit (which NSS needs) have theirs compiled in, so this process sees
other folders in these places: it takes a mount namespace of its own, for which it has to be root.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, ObjectClass

from e4core.keys import Secret
from e4kms.pkcs11.address import TokenAddress
from e4kms.pkcs11.again import lock_kept
from e4kms.pkcs11.module import Module, module_at
from tests.servers import tool

T = TypeVar("T")

_CLONE_NEWNS, _CLONE_NEWIPC = 0x20000, 0x8000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_SO_PIN, _FIRST_PIN = "87654321", "1234"
_START_S = 10.0
_JOB_S = 30.0
_LIB = f"/usr/lib/{platform.machine()}-linux-gnu"
RSA_OAEP = "rsa-oaep-{}-hmac-sha256"
_own_namespace: list[int] = []


@dataclass
class Token:
    """A token with a user PIN; ``data`` is where it keeps its keys."""

    name: str
    module: Path
    label: str
    pin: str
    data: Path
    folder: Path
    mechanism: str
    rsa_mechanism: str
    counts_pins: bool = False
    end: Callable[[], None] = field(default=lambda: None)
    off: Callable[[], None] = field(default=lambda: None)
    on: Callable[[], None] = field(default=lambda: None)
    reset: Callable[[], None] = field(default=lambda: None)

    def uri(self, key: str = "object=kek", *, pin: str | None = None, token: str = "", options: str = "") -> str:
        """Args: key: what names the key.  pin: what stands in the file of the PIN."""
        path = self.folder / f"pin-{os.urandom(8).hex()}"
        path.touch(0o600)
        path.write_text(f"{self.pin if pin is None else pin}\n")
        named = token or f"token={quote(self.label)}"
        return f"pkcs11:{named};{key}?module-path={self.module}&pin-source=file:{path}{options}"

    def job(self, job: Callable[[pkcs11.Session], T]) -> T:
        """Do something in a session of its own, logged in, past the KMS."""

        def done(module: Module) -> T:
            link = module.link(TokenAddress(token=self.label), lambda: Secret(self.pin.encode()))
            try:
                with link.token.open(rw=True) as session:
                    return job(session)
            finally:
                module.release(link)

        return module_at(self.module).call(done, _JOB_S)

    def log_in(self) -> None:
        """As the tools of its vendor do, with the right PIN: a token that counts wrong ones begins anew."""

        def done(_: Module) -> None:
            token = pkcs11.lib(str(self.module.resolve())).get_token(token_label=self.label)
            token.open(user_pin=self.pin).close()

        module_at(self.module).call(done, _JOB_S)

    def lose(self) -> None:
        """The token is gone, with all that is in it, as when it was pulled out."""
        self.data.rename(self.data.with_name("lost"))
        self.off()

    def unlock(self) -> None:
        """Set the user PIN again, as the security officer can."""
        self.reset()

    def restore(self) -> None:
        self.data.with_name("lost").rename(self.data)
        self.on()

    def forget(self) -> None:
        """Let the module give up what it holds open, as if this process had begun only now."""
        module_at(self.module).call(lambda module: finalize(self.module), _JOB_S)


def soft_hsm(folder: Path) -> Token:
    program = tool("softhsm2-util", "softhsm2")
    module = _file("/usr/lib/softhsm/libsofthsm2.so", "softhsm2")
    data = folder / "tokens"
    data.mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {data}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(config)  # read by the module when it is loaded into this process
    token = Token("softhsm", module, "soft one", "soft-hsm-pin-4711", data, folder, "aes-gcm", RSA_OAEP.format("sha1"))
    _run(program, "--init-token", "--free", "--label", token.label, "--so-pin", _SO_PIN, "--pin", token.pin)
    return token


def open_cryptoki(folder: Path) -> Token:
    slots, config = tool("pkcsslotd", "opencryptoki"), tool("pkcsconf", "opencryptoki")
    module = _file(f"{_LIB}/opencryptoki/libopencryptoki.so.0", "opencryptoki")
    _take_namespace()
    data, run = folder / "lib", folder / "run"
    for path in (data / "swtok" / "TOK_OBJ", run / "lock" / "opencryptoki" / "swtok", folder / "etc"):
        path.mkdir(parents=True)
    _keep_rest_of_run(run, folder / "host-run")
    for path in (data, *data.rglob("*"), *(run / "lock").rglob("*")):
        shutil.chown(path, group="pkcs11")
        path.chmod(0o770)
    (folder / "etc" / "opencryptoki.conf").write_text(
        "version opencryptoki-3.1\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n"
    )
    for name, place in (("etc", "/etc/opencryptoki"), ("lib", "/var/lib/opencryptoki")):
        _bind(folder / name, place)
    _take_shared_memory()
    _bind(run, "/run")
    how = ("aes-cbc-pad-hmac-sha256", RSA_OAEP.format("sha256"))
    token = Token("opencryptoki", module, "ock one", "ock-8711", data / "swtok", folder, *how, counts_pins=True)

    def stop() -> None:
        os.kill(int((run / "pkcsslotd.pid").read_text()), signal.SIGKILL)
        (run / "pkcsslotd.socket").unlink()

    def start() -> None:
        _run(slots)
        _wait_for(run / "pkcsslotd.socket")

    def off() -> None:
        stop()
        token.forget()

    start()
    token.end, token.on, token.off = stop, start, off
    officer = _SO_PIN[::-1]

    def set_pin() -> None:
        _run(config, "-c", "3", "-u", "-S", officer, "-n", _FIRST_PIN)
        _run(config, "-c", "3", "-p", "-U", _FIRST_PIN, "-n", token.pin)

    _run(config, "-c", "3", "-I", "-S", _SO_PIN, text=f"{token.label}\n")
    _run(config, "-c", "3", "-P", "-S", _SO_PIN, "-n", officer)
    set_pin()
    token.reset = set_pin
    return token


def nss(folder: Path) -> Token:
    program = tool("certutil", "libnss3-tools")
    module = _file(f"{_LIB}/p11-kit-proxy.so", "p11-kit-modules")
    softokn = _file(f"{_LIB}/libsoftokn3.so", "libnss3")
    how = ("aes-key-wrap", RSA_OAEP.format("sha256"))
    token = Token("nss", module, "NSS Certificate DB", "nss-pin-of-the-database", folder / "db", folder, *how)
    token.off = token.forget
    token.data.mkdir()
    password = folder / "password"
    password.write_text(f"{token.pin}\n")
    _run(program, "-N", "-d", f"sql:{token.data}", "-f", str(password))
    modules = folder / "modules"
    modules.mkdir()
    (modules / "nss.module").write_text(
        f"module: {softokn}\n"
        f"x-init-reserved: configDir='sql:{token.data}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=\n"
    )
    _take_namespace()
    _bind(modules, "/usr/share/p11-kit/modules")
    return token


def finalize(module: Path) -> None:
    """As somebody else in this process may; but for what openCryptoki would then do to the files of other tests."""
    with lock_kept():
        pkcs11.lib(str(module.resolve())).finalize()


TOKENS: dict[str, Callable[[Path], Token]] = {"softhsm": soft_hsm, "opencryptoki": open_cryptoki, "nss": nss}


CRYPT = (Attribute.ENCRYPT, Attribute.DECRYPT)
WRAP = (Attribute.WRAP, Attribute.UNWRAP)


def import_key(
    token: Token,
    key: str,
    uses: tuple[Attribute, ...],
    id: bytes,
    *,
    kind: KeyType = KeyType.AES,
    sensitive: bool = True,
) -> bytes:
    """Put a key into the token that is known outside. Returns: its 32 B."""
    value = os.urandom(32)
    template = {
        Attribute.CLASS: ObjectClass.SECRET_KEY,
        Attribute.KEY_TYPE: kind,
        Attribute.VALUE: value,
        Attribute.TOKEN: True,
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: sensitive,
        Attribute.EXTRACTABLE: not sensitive,
        Attribute.LABEL: key.removeprefix("object="),
        **({Attribute.ID: id} if id else {}),
        **{use: use in uses for use in CRYPT + WRAP + (Attribute.SIGN, Attribute.VERIFY)},
    }
    token.job(lambda session: session.create_object(template))
    return value


def _file(path: str, package: str) -> Path:
    if not Path(path).exists():
        _missing(f"{path} is not there; run: apt-get install {package}")
    return Path(path)


def _missing(text: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def _take_namespace() -> None:
    if os.geteuid() != 0:
        _missing("this token has its folders compiled in, and only root can move them; run the tests as root")
    if os.getpid() not in _own_namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        _checked(libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC))
        _checked(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
        _own_namespace.append(os.getpid())


def _bind(folder: Path, place: str, *, flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.mount(os.fsencode(folder), place.encode(), None, _MS_BIND | flags, None))


def _take_shared_memory() -> None:
    """A /dev/shm of this process alone; temporary files that are in it stay where they are."""
    libc, temporary = ctypes.CDLL(None, use_errno=True), Path(tempfile.gettempdir())
    held = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
    _checked(libc.mount(b"none", b"/dev/shm", b"tmpfs", 0, None))
    if temporary.is_relative_to("/dev/shm"):
        temporary.mkdir(parents=True)
        _bind(Path(f"/proc/self/fd/{held}"), str(temporary))
    os.close(held)


def _keep_rest_of_run(run: Path, host: Path) -> None:
    """Other tests of this process find what they need in /run."""
    host.mkdir()
    names = [
        path.name for path in Path("/run").iterdir() if path.name not in ("lock", "pkcsslotd.socket", "pkcsslotd.pid")
    ]
    _bind(Path("/run"), str(host))
    _bind(host, str(host), flags=_MS_REMOUNT | _MS_RDONLY)  # whoever clears away temporary folders must not clear /run
    for name in names:
        (run / name).symlink_to(host / name)


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _run(*command: str, text: str = "") -> None:
    subprocess.run(command, input=text.encode(), check=True, capture_output=True)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not path.exists():
        if time.monotonic() > deadline:
            pytest.fail(f"{path} does not appear")
        time.sleep(0.01)
