"""One real stack for all end-to-end tests of each gRPC server."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.e2e.client import Client
from tests.e2e.stack import Stack, running

PLANTED = "canary-7f3e9c1d"


@pytest.fixture(scope="session", params=["native", pytest.param("grpcio", marks=pytest.mark.slow)])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The whole stack: Envoy, sidecar, Valkey, image service."""
    with running(
        AUTHZ_GRPC_SERVER=request.param,
        CORS_ORIGINS='["https://app.example.com"]',
        GOOGLE_CLOUD_PROJECT="test-project",
    ) as started:
        yield started


@pytest.fixture
def client(stack: Stack) -> Client:
    """A client of the public port."""
    return stack.client


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A small real JPEG."""
    return encoded("JPEG")


def encoded(image_format: str, size: tuple[int, int] = (48, 40)) -> bytes:
    """A small real image in a format Pillow knows."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, image_format)
    return buffer.getvalue()
