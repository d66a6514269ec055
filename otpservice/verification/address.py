"""Addresses: end users', grouped as they are handed out, and those something may come from."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# What a provider gives one customer: who has one address of a /64 has all 2^64.
_IPV6_BLOCK = 64

Network = IPv4Network | IPv6Network


def address_block(address: IPv4Address | IPv6Address) -> str:
    """What quotas by address count on: an IPv4 address, or the /64 of an IPv6 address.

    IPv4 written as IPv6 (``::ffff:192.0.2.1``) is the IPv4 address.
    """
    address = _unmapped(address)
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _IPV6_BLOCK), strict=False))


def is_among(address: str | None, networks: Collection[Network]) -> bool:
    """Whether ``address`` is in one of ``networks``; what is no address (a UNIX socket) is not."""
    try:
        found = _unmapped(ip_address(address or ""))
    except ValueError:
        return False
    return any(found in network for network in networks)


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
