# SPDX-License-Identifier: Apache-2.0
"""Threads and forks, each in a process of its own: where these go wrong, a PKCS#11 module does not raise but crash.

What every driver must survive is in the conformance kit, which the tokens pass in `tests.kms.test_every_driver`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pkcs11 import Attribute, KeyType

from e4kms.pkcs11 import Pkcs11Kms
from tests.kms import warm
from tests.kms.pkcs11.conftest import OpenKms
from tests.kms.pkcs11.tokens import Token

_START = """
import os, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from e4core.errors import KmsError, KmsUnavailable
from e4core.keys import Secret
from e4kms.pkcs11 import open_kms

uri, flag = sys.argv[1:]
kms = open_kms(uri)
secret = Secret(os.urandom(32))

def use(kms=kms):
    for _ in range(10):
        assert kms.unwrap(kms.wrap(secret, b"context"), b"context") == secret

def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return pid

def join(*pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, "the child failed"
"""

_SCRIPTS = {
    "threads use it while the module is restarted": """
from e4kms.pkcs11.module import module_at
from e4kms.pkcs11.address import Address

module = module_at(Address.parse(uri).module)
with ThreadPoolExecutor(8) as threads:
    done = [threads.submit(use) for _ in range(8)]
    for _ in range(5):
        module.call(lambda module: module.restart(), 60)
    for one in done:
        one.result()
""",
    "a module that is restarted closes nothing of others": """
from e4kms.pkcs11.module import module_at
from e4kms.pkcs11.address import Address

# what the module opens first gets high numbers; then there are lower ones for what it opens later
low = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
use()
for descriptor in low:
    os.close(descriptor)
ours = []
for _ in range(3):
    module_at(Address.parse(uri).module).call(lambda module: module.restart(), 60)
    ours += [os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY, 0o600) for _ in range(8)]
    use()
kms.close()
for descriptor in ours:
    os.close(descriptor)  # OSError: somebody has closed it
""",
    "a fork does not wait for a module that hangs": """
from e4kms.pkcs11.module import module_at
from e4kms.pkcs11.address import Address

goes_on, hangs = threading.Event(), threading.Event()
thread = threading.Thread(
    target=lambda: module_at(Address.parse(uri).module).call(lambda _: (hangs.set(), goes_on.wait(60)), 60)
)
thread.start()
hangs.wait(60)
join(in_child(use))
goes_on.set()
thread.join()
""",
    "a PIN refused in the parent is not tried in the child": """
wrong = open_kms(uri.replace("pin-source=file:", "pin-source=file:/nowhere"))
bad = flag + ".pin"
with open(os.open(bad, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
    file.write("wrong-42")
from e4kms.pkcs11.address import Address

good = str(Address.parse(uri).pin.file)
refused = open_kms(uri.replace(good, bad))

def is_refused():
    try:
        refused.check()
    except KmsError as error:
        assert error.kind == "kms_pin_wrong", error
    else:
        raise AssertionError("not refused")

is_refused()
os.replace(good, bad)  # the right PIN from now on
join(in_child(is_refused))
""",
    "a PIN refused in the parent is not tried by what its children open": """
from e4kms.pkcs11.address import Address

bad = flag + ".pin"
with open(os.open(bad, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
    file.write("w-" + os.urandom(3).hex())
wrong = uri.replace(str(Address.parse(uri).pin.file), bad)

def is_refused():
    try:
        open_kms(wrong).check()
    except KmsError as error:
        # a token that counts would say that only one attempt is left
        assert error.kind == "kms_pin_wrong", error
    else:
        raise AssertionError("not refused")

is_refused()
join(*[in_child(is_refused) for _ in range(6)])
""",
    "it ends in good order though it was not closed": """
use()
""",
}


def run(script: str, uri: str, folder: Path) -> None:
    done = warm.run(script, uri, str(folder / "flag"))
    assert not done.returncode and not done.stderr, done.stderr


@pytest.mark.parametrize("script", _SCRIPTS)
def test_no_crash_and_no_wrong_result(
    token: Token, kms: Pkcs11Kms, key: str, open_at: OpenKms, script: str, tmp_path: Path
) -> None:
    kms.close()
    run(_START + _SCRIPTS[script], token.uri(key, options="&timeout=30"), tmp_path)
    open_at(key).check()


_RACE = """
from e4core.errors import Conflict

ready, go = os.pipe()

def create():
    os.read(ready, 1)
    try:
        kms.create_key()
    except Conflict as error:
        assert error.kind == "exists"
        os._exit(7)

pids = [in_child(create) for _ in range(4)]
os.write(go, b"xxxx")
codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
assert codes == [0, 7, 7, 7], codes
kms.check()
"""


def test_of_processes_that_make_the_same_key_one_does(token: Token, key: str, tmp_path: Path) -> None:
    run(_START + _RACE, token.uri(key, options="&timeout=30"), tmp_path)
    keks = token.job(
        lambda session: len(
            list(session.get_objects({Attribute.LABEL: key.removeprefix("object="), Attribute.KEY_TYPE: KeyType.AES}))
        )
    )
    assert keks == 1
