# SPDX-License-Identifier: Apache-2.0
"""What holds for every driver, in the real database of a C2: it opens again, nothing moved or changed opens, failover, no secrets.

They pass the conformance kit, which has what is a property of every driver. What one alone can or must do is tested beside it.
"""

from __future__ import annotations

import logging
import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import pytest

from e4c2 import deks as rows
from e4c2.store.engine import Store
from e4conformance import kit
from e4conformance.kms import KMS, KmsHooks, subject
from e4core.errors import Conflict, E4Error, KmsError, KmsUnavailable, NotFound, Tampered
from e4core.plugins import load_kms
from e4kms import deks
from e4kms.deks import Dek, Purpose
from tests.c2.test_root_secrecy import spellings
from tests.kms import warm
from tests.kms.c2_database import WRAP, Database
from tests.kms.conftest import AnyToken
from tests.kms.drivers import DRIVERS, EVERY, LOST
from tests.kms.pkcs11.tokens import TOKENS
from tests.kms.sites import Driver, Site, gone


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, any_token: AnyToken) -> Iterator[Site]:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        yield Site(tmp_path_factory.mktemp("drivers"), stack, any_token, environment, EVERY)


@pytest.fixture(scope="module", params=list(DRIVERS))
def driver(request: pytest.FixtureRequest, site: Site) -> Driver:
    return site.ready(request.param)


with_mixed_shares = pytest.mark.parametrize("driver", list(EVERY), indirect=True)


@pytest.fixture(scope="module")
def made(driver: Driver, site: Site) -> Database:
    """A database that was made with this driver; to be copied."""
    database = Database(site.folder / f"{driver.name}.db", driver.uri)
    database.start()
    return database


@pytest.fixture
def database(made: Database, tmp_path: Path) -> Database:
    shutil.copy(made.path, tmp_path / "c2.db")
    return Database(tmp_path / "c2.db", *made.uris)


@pytest.fixture
def spare(site: Site) -> str:
    """A KEK file beside the driver."""
    return site.kek()[0].as_uri()


def test_it_conforms(driver: Driver) -> None:
    with subject(driver.uri, driver.hooks) as examined:
        examined.budget_s = 0.1
        outcomes = list(kit.run(examined, KMS))
    assert [(each.requirement.id, each.detail) for each in outcomes if each.is_in_the_way] == []
    assert [(each.requirement.id, each.detail) for each in outcomes if each.verdict is kit.Verdict.WARNED] == []


def test_shares_of_which_one_may_be_lost_conform(site: Site) -> None:
    keks = [site.kek()[0] for _ in range(3)]
    uri = "shamir:2?" + "&".join(f"share={quote(kek.as_uri(), safe='')}" for kek in keks)
    with subject(uri, KmsHooks(share_gone=gone(keks[1]))) as examined:
        examined.budget_s = 0.1
        outcomes = list(kit.run(examined, KMS, ("E4-WRAP-010", "E4-WRAP-011", "E4-KROT-030", "E4-KROT-031")))
    assert [each.verdict for each in outcomes] == [kit.Verdict.PASSED] * 4


# It opens, and opens only what was made


def test_a_database_opens_again_after_a_restart(database: Database) -> None:
    assert database.start() == frozenset()


def test_wraps_of_two_purposes_swapped_are_an_alarm(database: Database) -> None:
    one, other = Purpose.RECORDS, Purpose.AUTHORITY
    wraps = database.wrap(one), database.wrap(other)
    database.put(wraps[1], one)
    refuses(database)
    database.put(wraps[0], other)
    refuses(database)
    database.put(wraps[0], one)
    database.put(wraps[1], other)
    database.start()


def test_wraps_of_two_versions_swapped_are_an_alarm(database: Database) -> None:
    database.rotate(Purpose.RECORDS)
    wraps = database.wrap(Purpose.RECORDS, 1), database.wrap(Purpose.RECORDS, 2)
    database.put(wraps[0], Purpose.RECORDS, 2)
    refuses(database)
    database.put(wraps[1], Purpose.RECORDS, 1)
    refuses(database)
    database.put(wraps[1], Purpose.RECORDS, 2)
    database.put(wraps[0], Purpose.RECORDS, 1)
    assert database.start() == frozenset()


def test_a_wrap_of_another_database_is_an_alarm(database: Database, driver: Driver, tmp_path: Path) -> None:
    other = Database(tmp_path / "other.db", driver.uri)
    other.start()
    database.put(other.wrap(Purpose.RECORDS), Purpose.RECORDS)
    refuses(database)
    for purpose in Purpose:
        database.put(other.wrap(purpose), purpose)
    refuses(database)


def refuses(database: Database) -> None:
    with pytest.raises(Tampered):
        database.start()


def test_no_wrap_with_another_key_or_mechanism_opens(database: Database) -> None:
    right = database.wrap(Purpose.AUDIT)
    for place in (WRAP.index("key_id"), WRAP.index("mechanism")):
        for text in ("", "\0", "é", right[place][:-1], right[1 - place]):
            changed = list(right)
            changed[place] = text
            database.put(tuple(changed), Purpose.AUDIT)
            with pytest.raises(KmsError):
                database.start()
    database.put(right, Purpose.AUDIT)
    database.start()


# Failover


@with_mixed_shares
def test_only_what_is_unavailable_is_passed_over(driver: Driver, spare: str, tmp_path: Path) -> None:
    """What is an outage and what is not: see `tests.kms.drivers`."""
    database = Database(tmp_path / "both.db", driver.uri, spare)
    database.start()
    for name, failure in driver.failures.items():
        with failure.happens():
            assert error_of(lambda: unwrap_first(database, driver)) == (failure.error, failure.kind), name
            if issubclass(failure.error, KmsUnavailable):
                assert database.start() == {driver.uri}, name
                assert error_of(lambda: database.start(driver.uri))[0] is KmsUnavailable, name
            else:
                assert error_of(database.start) == (failure.error, failure.kind), name
            assert database.start(spare) == frozenset()
        assert database.start() == frozenset(), f"{name}: it was not found again"


def error_of(use: Callable[[], object]) -> tuple[type[E4Error], str]:
    with pytest.raises(E4Error) as caught:
        use()
    return type(caught.value), caught.value.kind


def unwrap_first(database: Database, driver: Driver) -> None:
    with closing(load_kms(driver.uri)) as kms, closing(Store(database.path)) as store:
        deks.check_wrap(store.run(rows.load)[0], database.id, driver.uri, kms)


_FIRST_USE = """
import sys
from e4core.plugins import load_kms
try:
    load_kms(sys.argv[1]).check()
except Exception as error:
    print(type(error).__name__, error.kind)
"""


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_that_is_away_when_a_process_begins_is_unavailable(site: Site, name: str) -> None:
    """Its module was never loaded there, and some of them cannot even begin without their service or their files."""
    driver = site.ready(name)
    with driver.failures[LOST].happens():
        ended = warm.run(_FIRST_USE, driver.uri)
    assert ended.stdout.split() == ["KmsUnavailable", "kms_unavailable"], ended.stderr


# Wraps come and go


def test_wraps_are_added_made_anew_and_removed(database: Database, driver: Driver, spare: str) -> None:
    with database.opened(driver.uri, spare) as (store, _, kmses):

        def change(what: str) -> list[Dek]:
            for dek in store.run(rows.load):
                store.run(rows.put_wraps, dek, changes[what](dek))
            return store.run(rows.load)

        def added(dek: Dek) -> Dek:
            root = deks.unwrap(dek, database.id, kmses)
            return deks.add_wrap(dek, database.id, root, spare, kmses[spare])

        changes: dict[str, Callable[[Dek], Dek]] = {
            "add": added,
            "rewrap": lambda dek: deks.rewrap(dek, database.id, driver.uri, kmses[driver.uri]),
            "remove": lambda dek: deks.remove_wrap(dek, driver.uri),
        }
        before = store.run(rows.load)
        with pytest.raises(Conflict):
            change("remove")
        assert [[wrap.uri for wrap in dek.wraps] for dek in change("add")] == [[driver.uri, spare]] * len(Purpose)
        for old, new in zip(before, change("rewrap"), strict=True):
            assert old.wrap_at(driver.uri).wrapped.blob != new.wrap_at(driver.uri).wrapped.blob
            deks.check_wrap(new, database.id, driver.uri, kmses[driver.uri])
    assert database.start(driver.uri) == database.start(spare) == frozenset()
    with database.opened(driver.uri, spare) as (store, _, kmses):
        for dek in store.run(rows.load):
            store.run(rows.put_wraps, dek, gone := deks.remove_wrap(dek, driver.uri))
            with pytest.raises(NotFound):
                deks.check_wrap(gone, database.id, driver.uri, kmses[driver.uri])
    assert database.start(spare) == frozenset()
    with pytest.raises(E4Error):
        database.start(driver.uri)


# Nothing secret is left behind


@with_mixed_shares
def test_no_secret_is_in_the_database_or_in_the_log(
    driver: Driver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    database = Database(tmp_path / "new.db", driver.uri)
    with database.opened() as (store, realm, kmses):
        hidden = list(driver.secrets)
        for dek in store.run(rows.load):
            hidden.append(bytes(deks.unwrap(dek, database.id, kmses)))
            store.run(rows.put_wraps, dek, deks.rewrap(dek, database.id, driver.uri, kmses[driver.uri]))
        hidden += [bytes(key._raw) for key in realm.keyring._keys()]
        files = database.files()
        files["repr"] = "\n".join([*map(repr, kmses.values()), *map(repr, store.run(rows.load))]).encode()
        assert len(files[f"{database.path.name}-wal"]) > 0
        assert database.id in files[f"{database.path.name}-wal"] + files[database.path.name]
    for number, failure in enumerate(driver.failures.values()):
        with failure.happens(), pytest.raises(E4Error) as caught:
            database.start()
        files[f"error {number}"] = "".join(traceback.format_exception(caught.value)).encode()
    files["log"] = caplog.text.encode(errors="surrogatepass")
    assert len(set(hidden)) >= len(driver.secrets) + 2 * len(Purpose)
    forms = {form for secret in hidden for form in (*spellings(secret), repr(secret)[2:-1].encode())}
    assert [(name, form) for name, data in files.items() for form in forms if form in data] == []
