"""Which addresses are the public internet, and which belong to the network that Dash runs in.

Written out rather than left to `ipaddress.is_global`, whose answer changes between Python's patch releases. An address
that carries another one inside is judged by the inner one (IPv4-mapped, NAT64) or refused (6to4, Teredo).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Refused whatever is allowed: this host, link-local with the metadata services, multicast, broadcast, the cloud's own.
NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "100.100.100.200/32", "168.63.129.16/32"),
        *("::/128", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254/128", "fd20:ce::254/128"),
    )
)

#: IPv4 that is not the public internet (IANA's special-purpose registry), refused unless it is allowed.
PRIVATE_V4: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
    )
)

#: The public part of IPv6, and what within it is not: protocol assignments with Teredo, documentation, 6to4.
PUBLIC_V6 = IPv6Network("2000::/3")
PRIVATE_V6: tuple[Network, ...] = tuple(
    ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
NAT64 = IPv6Network("64:ff9b::/96")


def is_allowed(address: Address, allowed_networks: Iterable[Network] = ()) -> bool:
    """Whether an address may be reached: on the public internet, or in one of the allowed networks."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_allowed(address.ipv4_mapped, allowed_networks)
        if address.scope_id is not None:
            return False
        if address in NAT64:
            return is_allowed(IPv4Address(int(address) & 0xFFFFFFFF), allowed_networks)
    if any(address in network for network in NEVER):
        return False
    if any(address in network for network in allowed_networks):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in PRIVATE_V4)
    return address in PUBLIC_V6 and not any(address in network for network in PRIVATE_V6)


def is_own(address: Address) -> bool:
    """Whether an address is one of this machine's: only those can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
