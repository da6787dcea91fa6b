"""Every error this service raises on purpose, and whose fault each one is."""


class AuthzServiceError(Exception):
    """The root: never raised itself."""


class ConfigurationError(AuthzServiceError):
    """The operator's settings, policy or keys are wrong. Holds every problem found, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class StoreError(AuthzServiceError):
    """The counter store did not answer, or answered nonsense: the dependency's fault; retryable."""


class UnanswerableError(AuthzServiceError):
    """A question of `ShouldRateLimit` that has no answer. The message goes to whoever asked."""


class TooLargeError(AuthzServiceError, ValueError):
    """A question has more parts, or more bytes, than are looked at: the fault of whoever asked."""


class EnvoyError(AuthzServiceError):
    """Envoy cannot be told what to do. The message says where it was looked for."""


class ListenError(AuthzServiceError):
    """An address cannot be listened on. The message names it."""


class StackError(AuthzServiceError):
    """A part of the local stack cannot start or has died. The message says which and why."""
