# SPDX-License-Identifier: Apache-2.0
"""What an operator's Prometheus reads: that it is right, bounded, and only for who may."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e4backends.sk import SUITE
from e4c2 import figures, topics
from e4c2.api import monitoring
from e4c2.events import Kind, log, tell, webhooks
from e4c2.events.feed import Feed
from e4c2.figures import Figures, Told
from e4c2.model import Delivery
from e4c2.telemetry.metrics import Metrics
from e4core.client import Client
from e4core.errors import KmsUnavailable, NotFound
from e4core.keys import ClientId, Secret
from e4core.plugins import load_transport
from e4core.state import new_state
from e4device.runtime import Device
from tests.c2.served import PATIENCE_S, Served, serving, settings_in
from tests.c2.test_app_listening import wait_for_status
from tests.c2.world import World
from tests.servers import Mosquitto

CONFIRMED = "e4_command_confirmed_seconds"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(text: str) -> Series:
    """All samples, by name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "no series comes twice"
    return found


def value(of: Series, name: str, **labels: str) -> float:
    return of.get((name, frozenset(labels.items())), 0.0)


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"))) as made:
        made.topic("room", made.client("lamp"))
        yield made


def scraped(c2: Served) -> Series:
    answer = c2.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return series(answer.text)


def test_nobody_reads_them_without_a_token(c2: Served) -> None:
    with c2.stranger() as nobody:
        before = value(scraped(c2), "e4_http_refused_total", kind="unauthenticated")
        assert nobody.get("/metrics").status_code == 401
        assert value(scraped(c2), "e4_http_refused_total", kind="unauthenticated") == before + 1


def test_requests_are_counted_by_the_template_of_their_route(c2: Served) -> None:
    def count(status: str) -> float:
        labels = {"method": "GET", "route": "/v1/clients/{client}", "status": status}
        return value(scraped(c2), "e4_http_requests_total", **labels)

    before, found = count("404"), count("200")
    for n in range(3):
        c2.http.get(f"/v1/clients/{n:032x}")
    (lamp,) = c2.http.get("/v1/clients").json()["items"]
    c2.http.get(f"/v1/clients/{lamp['id']}")
    assert (count("404"), count("200")) == (before + 3, found + 1)


def test_what_is_made_up_makes_no_series_of_its_own(c2: Served) -> None:
    c2.http.get("/made/up/1")
    scraped(c2)
    before = scraped(c2).keys()
    for n in range(3):
        c2.http.get(f"/made/up/{n}")
        c2.http.request(f"MADE{n}", "/v1/topics")
    new = scraped(c2).keys() - before
    assert not [labels for _, labels in new if any("MADE" in text or "made" in text for _, text in labels)]
    assert len({labels for name, labels in new if name == "e4_http_requests_total"}) <= 1


def test_there_is_what_a_c2_of_one_device_shows(c2: Served) -> None:
    shown = scraped(c2)
    assert value(shown, "e4_broker_connected") == 1
    assert value(shown, "e4_broker_connections_total") == 1
    assert 0 < value(shown, "e4_keys_held_seconds") <= c2.settings.keys_held_s
    assert value(shown, "e4_clients", status="active", seen="never") == 1
    assert value(shown, "e4_topics") == 1
    assert value(shown, "e4_events") >= 2
    assert value(shown, "e4_webhooks", state="failing") == 0
    assert value(shown, "e4_event_followers") == 0
    assert value(shown, "e4_database_keys", purpose="records", state="active") == 1
    assert value(shown, "e4_kms_seconds_count", kms="1 file", operation="unwrap", outcome="ok") >= 1
    assert value(shown, "e4_transaction_seconds_count", operation="write", outcome="ok") >= 3
    assert value(shown, "process_resident_memory_bytes") > 0
    assert [labels for name, labels in shown if name == "e4_build_info"]


def test_figures_are_counted_once_a_while_however_often_they_are_asked_for(c2: Served) -> None:
    before = value(scraped(c2), "e4_clients", status="active", seen="never")
    c2.client("counted later")
    assert value(scraped(c2), "e4_clients", status="active", seen="never") == before


async def obey(c2: Served, key: bytes) -> None:
    """Be the lamp until the C2 has heard that it did what it was told."""
    lamp = ClientId(SUITE.derive_id("lamp"))
    client = Client(SUITE, new_state(SUITE, lamp, Secret(key)), lambda _state: None)
    link = load_transport(c2.settings.broker, lamp.hex())
    async with asyncio.timeout(PATIENCE_S), Device(client, link, clock=c2.clock, hello_delay_s=0) as device:
        await device.wait_synchronised()
        while not value(scraped(c2), CONFIRMED + "_count"):  # noqa: ASYNC110  told to nobody
            await asyncio.sleep(0.05)


def test_how_long_a_command_waits_and_how_long_a_device_took_to_confirm_is_shown(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "KEPT_S", 0.0)
    with serving(settings_in(tmp_path, broker=mosquitto.uri)) as c2:
        mosquitto.kill()
        wait_for_status(c2.http, "/readyz", 503)
        before = c2.clock()
        key = os.urandom(32)
        c2.topic("room", c2.client("lamp", key))
        ordered = c2.clock()
        c2.clock.ahead_s = 200
        looked = c2.clock()
        shown = scraped(c2)
        assert looked - ordered <= value(shown, "e4_commands_oldest_seconds", state="pending") <= c2.clock() - before
        assert value(shown, CONFIRMED + "_count") == 0
        mosquitto.start()
        asyncio.run(obey(c2, key))
        shown = scraped(c2)
        # of the Sync too, and of what brings the lamp what was published before it listened
        most = value(shown, CONFIRMED + "_count") * (c2.clock() - before)
        assert 0 < value(shown, CONFIRMED + "_sum") <= most


def counted(world: World) -> Figures:
    return world.do(figures.count)


def test_what_is_behind_is_counted_until_devices_confirm(fleet: World) -> None:
    before = counted(fleet)
    assert (before.topics, before.topics_behind, before.members_behind, before.behind_since) == (1, 0, 0, None)
    fleet.do(topics.rotate, "t")
    ordered = fleet.clock.now
    behind = counted(fleet)
    assert (behind.topics_behind, behind.members_behind, behind.behind_since) == (1, 2, ordered)
    assert behind.deliveries[Delivery.PENDING] == 2
    assert behind.oldest == {Delivery.PENDING.value: ordered}
    assert behind.operations == 1
    fleet.settle_down()
    after = counted(fleet)
    assert (after.topics_behind, after.members_behind, after.oldest, after.operations) == (0, 0, {}, 0)


def test_clients_are_counted_by_when_they_were_heard_of(fleet: World) -> None:
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    assert counted(fleet).clients == {("active", "hour"): 2}
    fleet.clock.now += 3601
    assert counted(fleet).clients == {("active", "day"): 2}
    fleet.clock.now += 40 * 24 * 3600
    assert counted(fleet).clients == {("active", "longer"): 2}


def told(world: World) -> Told:
    return counted(world).told


def test_how_far_events_have_got_is_known(sk: World) -> None:
    assert told(sk) == Told(kept=0, since=None, webhooks={}, waiting=0, waiting_since=None)
    sk.do(tell, Kind.KMS_LOST)
    begun = sk.clock.now
    for name in ("slow", "paused"):
        sk.do(webhooks.create, name, "https://hook.example/")
    assert told(sk) == Told(kept=1, since=begun, webhooks={"active": 2}, waiting=0, waiting_since=None)
    sk.sql(f"UPDATE webhook SET paused = {begun}, cursor = 0 WHERE name = 'paused'")
    sk.clock.now += 60
    for _ in range(3):
        sk.do(tell, Kind.KMS_BACK)
        sk.clock.now += 10
    sk.sql(f"UPDATE webhook SET failing_since = {begun} WHERE name = 'slow'")
    behind = Told(kept=4, since=begun, webhooks={"failing": 1, "paused": 1}, waiting=3, waiting_since=begun + 60)
    assert told(sk) == behind
    sk.sql("DELETE FROM event WHERE id < 4")
    assert told(sk) == replace(behind, kept=1, since=begun + 80, waiting=1, waiting_since=begun + 80)


def test_a_follower_that_takes_nothing_is_seen_to_be_behind(sk: World) -> None:
    async def story() -> tuple[int, int, int]:
        feed = Feed(sk.store, sk.realm, 3600)
        looking = asyncio.create_task(feed.run())
        with feed.listen("somebody") as follower:
            sk.do(tell, Kind.KMS_LOST)
            sk.do(tell, Kind.KMS_BACK)
            await feed.after(0, 10)
            behind = feed.behind
            follower.at = await sk.store.read(log.newest)
            caught_up = feed.behind
        looking.cancel()
        return behind, caught_up, feed.followers

    assert asyncio.run(story()) == (2, 0, 0)


class _Nothing:
    def collect(self) -> list[Any]:
        return []


def test_an_outcome_is_the_kind_of_what_failed_and_no_more() -> None:
    metrics = Metrics("1")
    kms = metrics.kms("1 vault")
    for error in (KmsUnavailable("away"), NotFound("no such thing"), ValueError("a bug"), None):
        try:
            with kms("wrap"):
                if error:
                    raise error
        except (KmsUnavailable, NotFound, ValueError) as caught:
            assert caught is error
    shown = series(metrics.text(_Nothing()).decode())
    for outcome in (KmsUnavailable.kind, "refused", "failed", "ok"):
        assert value(shown, "e4_kms_seconds_count", kms="1 vault", operation="wrap", outcome=outcome) == 1


def test_how_long_devices_took_to_confirm_is_counted_by_what_is_usual_and_what_is_not() -> None:
    metrics = Metrics("1")
    for seconds in (0.5, 200.0):
        metrics.confirmed(seconds)
    shown = series(metrics.text(_Nothing()).decode())
    assert (value(shown, CONFIRMED + "_sum"), value(shown, CONFIRMED + "_count")) == (200.5, 2)
    assert [value(shown, CONFIRMED + "_bucket", le=le) for le in ("60.0", "300.0")] == [1, 2]


def test_how_long_a_device_took_to_confirm_is_known(fleet: World) -> None:
    took: list[float] = []
    fleet.realm = replace(fleet.realm, confirmed=took.append)
    fleet.do(topics.rotate, "t")
    fleet.clock.now += 7
    fleet.settle_down()
    assert len(took) == 2
    assert all(7 <= each < 60 for each in took)
