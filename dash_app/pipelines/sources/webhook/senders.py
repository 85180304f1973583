"""Which addresses may send to a webhook: an allow-list of networks, as GitHub, Stripe and others publish theirs."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Network = IPv4Network | IPv6Network

MAX_NETWORKS = 500


def problems(option: str, listed: Sequence[Any]) -> list[tuple[str, str]]:
    """(option, message) of every entry that is no address or network."""
    if len(listed) > MAX_NETWORKS:
        return [(option, f"has {len(listed)} entries; {MAX_NETWORKS} are accepted")]
    found = []
    for number, one in enumerate(listed):
        if wrong := _problem(one):
            found.append((f"{option}[{number}]", wrong))
    return found


def _problem(text: Any) -> str | None:
    if not isinstance(text, str):
        return "is not text"
    try:
        ip_network(text)
    except ValueError:
        try:
            right = ip_network(text, strict=False)
        except ValueError:
            return f"'{text[:60]}' is no address and no network such as 192.0.2.0/24 or 2001:db8::/32"
        return f"'{text[:60]}' has bits set beyond its prefix; the network is {right}"
    return None


def parse(listed: Sequence[str]) -> tuple[Network, ...]:
    """The networks of a list without problems."""
    return tuple(ip_network(one) for one in listed)


def allows(networks: Sequence[Network], address: str) -> bool:
    """Whether an address is in one of the networks; an address that is none (a socket's path) is in no network."""
    try:
        found = ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
