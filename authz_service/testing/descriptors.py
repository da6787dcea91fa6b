"""Short ways to rules and requests for tests about descriptors."""

from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.descriptors import (
    Algorithm,
    Descriptor,
    DescriptorLimit,
    Entry,
    Override,
    RateLimitRequest,
    Unit,
)
from authz_service.descriptors.sources import SourceFile, compile_sources


def read_descriptors(text: str, *, algorithm: Algorithm = Algorithm.EXACT) -> DescriptorRules:
    """The rules of one file."""
    return compile_sources([SourceFile("limits.yaml", text)], algorithm=algorithm)


def descriptor(
    *entries: tuple[str, str], override: Override | None = None, hits: int | None = None
) -> Descriptor:
    """One descriptor of a request."""
    parts = tuple(Entry(key, value) for key, value in entries)
    return Descriptor(entries=parts, override=override, hits_addend=hits)


def asking(*descriptors: Descriptor, domain: str = "shop", hits: int = 0) -> RateLimitRequest:
    """One request."""
    return RateLimitRequest(domain=domain, descriptors=descriptors, hits_addend=hits)


def limit_of(
    requests: int,
    *,
    name: str = "",
    shadow: bool = False,
    quota: bool = False,
    metadata: dict[str, object] | None = None,
) -> DescriptorLimit:
    """So many requests a minute."""
    return DescriptorLimit(
        requests_per_unit=requests,
        unit=Unit.MINUTE,
        name=name,
        shadow=shadow,
        quota=quota,
        metadata=metadata or {},
    )
