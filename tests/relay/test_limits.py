"""Who counts as one client, and how often one may ask."""

import pytest

from blindsight.relay import limits
from blindsight.relay.limits import Rate, client_of


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_bucket_empties_and_fills_again():
    clock = Clock()
    rate = Rate(60, clock)
    assert [rate.wait("anna") for _ in range(60)] == [0.0] * 60
    assert rate.wait("anna") == pytest.approx(1.0)
    clock.now = 1.5
    assert rate.wait("anna") == 0.0
    assert rate.wait("anna") == pytest.approx(0.5)


def test_a_refusal_costs_nothing():
    clock = Clock()
    rate = Rate(1, clock)
    rate.wait("anna")
    assert [rate.wait("anna") for _ in range(3)] == [60.0] * 3
    clock.now = 60.0
    assert rate.wait("anna") == 0.0


def test_clients_do_not_use_up_one_another():
    rate = Rate(1, Clock())
    assert [rate.wait("anna"), rate.wait("bert")] == [0.0, 0.0]
    assert rate.wait("anna") > 0


def test_memory_has_an_end_however_many_clients_come(monkeypatch):
    monkeypatch.setattr(limits, "MAX_CLIENTS", 10)
    rate = Rate(1, Clock())
    for number in range(1000):
        rate.wait(str(number))
    assert len(rate._buckets) <= 10


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_an_address_or_a_network(host, client):
    assert client_of(host) == client
