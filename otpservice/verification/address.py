"""End users' addresses, grouped as they are handed out."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

# What a provider gives one customer: who has one address of a /64 has all 2^64.
_IPV6_BLOCK = 64


def address_block(address: IPv4Address | IPv6Address) -> str:
    """What quotas by address count on: an IPv4 address, or the /64 of an IPv6 address.

    IPv4 written as IPv6 (``::ffff:192.0.2.1``) is the IPv4 address.
    """
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _IPV6_BLOCK), strict=False))
