"""Which id a request goes by: the client's if it is sane, else the trace's, else a new UUID."""

from authz_service.envoyconf.model import Json, Object, typed

_MAXIMUM_LENGTH = 128
_TRACE_ID_LENGTH = 32

# Scratch headers: a mutation sees what the one before it wrote.
_CHOSEN = "x-rid-chosen"
_TRACE = "x-rid-trace"

# A repeat with a bound, as in `{1,128}`, exceeds Envoy's limit for the size of a CEL expression's
# regular expression: the length is compared apart.
_CHOICE = (
    "'x-request-id' in request.headers"
    f" && size(request.headers['x-request-id']) <= {_MAXIMUM_LENGTH}"
    " && request.headers['x-request-id'].matches('^[A-Za-z0-9._:-]+$')"
    " ? request.headers['x-request-id']"
    f" : ('{_TRACE}' in request.headers"
    f" && size(request.headers['{_TRACE}']) == {_TRACE_ID_LENGTH}"
    f" && request.headers['{_TRACE}'].matches('^[0-9a-fA-F]+$')"
    f" ? request.headers['{_TRACE}'] : '')"
)

# A protocol error (400, 408, 426, 431, 501) has no request headers to take an id from.
_OF_REPLY = '%COALESCE({"operators":[{"command":"REQ","param":"X-REQUEST-ID"},"UNIQUE_ID"]})%'


def overwrite(name: str, value: str) -> Object:
    """A header that replaces any of its name. An empty value leaves the header out."""
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def early_mutations() -> list[Json]:
    """Leaves `x-request-id` sane or absent; Envoy then fills in a UUID where it is absent.

    They run in order, before routing and before anything looks at the headers.
    """
    return [
        {"remove": _CHOSEN},
        {"remove": _TRACE},
        {"append": overwrite(_TRACE, f"%REQ(X-CLOUD-TRACE-CONTEXT):{_TRACE_ID_LENGTH}%")},
        {"append": overwrite(_CHOSEN, f"%CEL({_CHOICE})%")},
        {"remove": "x-request-id"},
        {"append": overwrite("x-request-id", f"%REQ({_CHOSEN.upper()})%")},
        {"remove": _CHOSEN},
        {"remove": _TRACE},
    ]


def connection_manager_fields() -> Object:
    """Keep the id that the mutations left, make one where there is none, show it to the client."""
    return {
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": typed(
                "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                # Packing rewrites a digit of the id, which then differs from what the client sent.
                pack_trace_reason=False,
                use_request_id_for_trace_sampling=False,
            )
        },
    }


def reply_header() -> Object:
    """The id on an answer that Envoy makes itself."""
    return overwrite("x-request-id", _OF_REPLY)
