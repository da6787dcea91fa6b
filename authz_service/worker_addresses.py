"""Where workers are asked: from this machine, and over the network."""

from ipaddress import ip_address

from authz_service.addresses import HostAndPort
from authz_service.settings import Settings


def local_addresses(settings: Settings) -> tuple[str, ...]:
    """Where each worker is asked without TLS, by the service itself and by an Envoy beside it.

    A worker that others ask by TLS listens on its socket in the run folder too.
    """
    if not settings.has_tls:
        return settings.listen_addresses
    pairs = zip(settings.listen_addresses, settings.sockets, strict=True)
    return tuple(socket if is_tcp(address) else address for address, socket in pairs)


def is_tcp(address: str) -> bool:
    """Whether an address is `IP:PORT`."""
    return not address.startswith("unix:")


def open_addresses(settings: Settings) -> list[str]:
    """Those that other machines may reach, and ask without showing a certificate."""
    if settings.tls_client_ca_file is not None:
        return []
    return [
        address
        for address in settings.listen_addresses
        if is_tcp(address) and not ip_address(HostAndPort.parse(address).host).is_loopback
    ]
