"""TLS of the gRPC server: the certificates in force, followed as their files change.

gRPC asks for them at each handshake, so a new certificate needs no new listener, and connections
that stand are left alone.
"""

import asyncio
from typing import Final

import grpc
import structlog

from authz_service.clock import Clock
from authz_service.errors import ConfigurationError
from authz_service.file_states import LOOK_INTERVAL_S, look
from authz_service.identity.moments import spell_moment
from authz_service.observe.tls_series import TlsSeries
from authz_service.transports.certificates import Certificates, TlsFiles, load_certificates

# What is refused today may be fit tomorrow as it is: where clocks differ, a certificate that was
# signed a moment ago begins in a moment.
_AGAIN_MS: Final = 5_000

_log = structlog.get_logger(__name__)


class Tls:
    """The certificates of one process.

    Raises:
        ConfigurationError: the files are not fit to serve by; every problem is named.
    """

    def __init__(self, files: TlsFiles, *, clock: Clock, series: TlsSeries) -> None:
        self._files = files
        self._clock = clock
        self._series = series
        self._seen = look(files.all)  # before they are read: what changes meanwhile is seen later
        self._handshakes = _Handshakes(self._load())
        self._problems: tuple[str, ...] = ()
        self._again_ms = 0  # while there are problems

    def credentials(self) -> grpc.ServerCredentials:
        """What a listener needs. Clients are asked for a certificate if there are authorities."""
        return grpc.dynamic_ssl_server_credentials(
            self._handshakes.configuration,
            self._handshakes.newer,  # type: ignore[arg-type]  # None: as before
            require_client_authentication=self._files.client_authorities is not None,
        )

    async def run(self) -> None:
        """Follow the files until cancelled; while they are wrong, the last good ones hold."""
        before = self._seen
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            now = look(self._files.all)
            # A file that is still being written differs at every look.
            if now == before and (now != self._seen or self._is_to_be_judged_again()):
                self._seen = now
                await asyncio.to_thread(self._reload)
            before = now

    def _is_to_be_judged_again(self) -> bool:
        return bool(self._problems) and self._clock.monotonic_ms() >= self._again_ms

    def _reload(self) -> None:
        try:
            self._handshakes.use(self._load())
            self._problems = ()
        except ConfigurationError as error:
            self._series.refused()
            self._again_ms = self._clock.monotonic_ms() + _AGAIN_MS
            if error.problems != self._problems:
                _log.error(
                    "TLS certificates not in force, the last good ones stay",
                    problems=error.problems,
                )
            self._problems = error.problems

    def _load(self) -> Certificates:
        loaded = load_certificates(self._files, now_ms=self._clock.now_ms())
        self._series.loaded(expires_at_ms=loaded.expires_at_ms)
        _log.info("TLS certificates in force", expire_at=spell_moment(loaded.expires_at_ms))
        return loaded


class _Handshakes:
    """What gRPC's own threads are told, one handshake at a time."""

    def __init__(self, certificates: Certificates) -> None:
        self.configuration = _configuration(certificates)
        self._told = self.configuration

    def use(self, certificates: Certificates) -> None:
        """Shake hands with these from now on."""
        self.configuration = _configuration(certificates)

    def newer(self) -> grpc.ServerCertificateConfiguration | None:
        """The configuration if it is another than last time: gRPC keeps what it was told."""
        current = self.configuration
        if current is self._told:
            return None
        self._told = current
        return current


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.chain)],
        root_certificates=certificates.client_authorities,
    )
