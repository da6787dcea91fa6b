"""How Envoy asks for the limits over all callers: what it says and what we look for are one."""

from typing import Final

DOMAIN: Final = "authz"
"""The domain of a policy's own limits. No descriptor file may claim it."""

DESCRIPTOR_KEY: Final = "global_limit"
"""The key of their descriptors; the value is the name of the limit."""

REQUEST_ID: Final = "x-request-id"
"""The metadata of a call that holds the id of the request it is about."""

ONCE: Final = "x-authz-once"
"""The metadata of a call that is the same when the call is sent again, and never otherwise."""
