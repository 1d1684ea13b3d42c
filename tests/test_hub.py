"""The hub is asked once, where it would be asked."""

from __future__ import annotations

import socket

import pytest

from mmtransfer import hub


def test_the_hub_is_asked_only_where_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    asked: list[tuple[str, int]] = []

    def offline(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise OSError("network is unreachable")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "create_connection", offline)
    monkeypatch.setattr(hub, "getproxies", lambda: {})
    assert not hub.reachable()
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy.example:3128"})
    assert not hub.reachable()
    assert asked == [("huggingface.co", 443), ("proxy.example", 3128)]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not hub.reachable() and len(asked) == 2
