"""Why, for a developer: one sentence a reason, saying what to do about it."""

from collections.abc import Mapping
from typing import Final

from authz_service.core.verdict import Reason

SENTENCES: Final[Mapping[Reason, str]] = {
    Reason.OK: "The route lets this caller in, and no limit stands in the way.",
    Reason.MISSING_CREDENTIAL: "The route asks for a credential and the request has none: send an"
    " API key in the X-API-Key header.",
    Reason.CREDENTIAL_IN_QUERY: "The query has a parameter that is named like a credential: leave"
    " it out, and send the key in the X-API-Key header.",
    Reason.AMBIGUOUS_CREDENTIAL: "The request has more than one credential: send X-API-Key or"
    " Authorization, and that once.",
    Reason.MALFORMED_CREDENTIAL: "The credential is none in its form, mistyped, cut off or quoted"
    " twice: a key has 8 to 256 printable ASCII characters without blank and comma.",
    Reason.UNSUPPORTED_SCHEME: "Authorization has another scheme than Bearer: send the key in the"
    " X-API-Key header.",
    Reason.UNKNOWN_KEY: "No such key is known: it was never made, or deleted, or belongs to another"
    " environment. `authz_service keys list` shows those of the key store.",
    Reason.DISABLED_KEY: "The key is known and disabled: enable it, or use another one.",
    Reason.EXPIRED_KEY: "The key is known and its expires_at has passed: make a new one.",
    Reason.UNKNOWN_TIER: "The caller is known, but the policy has no tier of that name: add the"
    " tier, or give the caller another one.",
    Reason.MALFORMED_TOKEN: "The bearer token is no JSON Web Token that is accepted: three parts of"
    " base64url, whose header and claims are plain JSON objects.",
    Reason.UNKNOWN_ISSUER: "No provider of the policy has exactly the issuer (iss) of this token.",
    Reason.ALGORITHM_NOT_ALLOWED: "The token is signed with an algorithm (alg) that its provider"
    " may not use.",
    Reason.UNKNOWN_SIGNING_KEY: "The provider has no key with the id (kid) that the token names: is"
    " it rotated, or the token another environment's?",
    Reason.BAD_SIGNATURE: "The token's signature does not fit its text: it was changed, or signed"
    " with another key.",
    Reason.EXPIRED_TOKEN: "The token's exp has passed: get a new one.",
    Reason.TOKEN_NOT_YET_VALID: "The token's nbf or iat lies ahead: compare the clocks of whoever"
    " issued it and of this machine.",
    Reason.TOKEN_LIVES_TOO_LONG: "The token is valid for longer than its provider allows: have it"
    " issued for a shorter time.",
    Reason.WRONG_TOKEN_TYPE: "The token is of another type (typ) than its provider asks for.",
    Reason.WRONG_AUDIENCE: "The token is meant for somebody else: its aud is none that is asked"
    " for.",
    Reason.INVALID_CLAIM: "A claim of the token is missing or of the wrong form.",
    Reason.TIER_NOT_GRANTED: "The token claims a tier that its provider may not grant.",
    Reason.TOO_MANY_BAD_CREDENTIALS: "Too many invalid credentials came from this address: wait,"
    " and mend the caller that sends them.",
    Reason.TIER_NOT_ALLOWED: "The caller is known, but the route is only for tier {needs}.",
    Reason.MISSING_SCOPE: "The caller is known, but lacks a scope: the route asks for all of"
    " {needs}.",
    Reason.CREDENTIAL_NOT_ALLOWED: "The caller is known, but the route asks for another kind of"
    " credential: {needs}.",
    Reason.NETWORK_NOT_ALLOWED: "The key is known, but may not be used from this address.",
    Reason.NO_ROUTE: "No route of the policy has this method and path.",
    Reason.NO_CLIENT_ADDRESS: "An anonymous caller is counted by address, and the request comes"
    " with none that is an IP address.",
    Reason.RATE_LIMITED: "The limit {limit} has no room for this request: it would pass in"
    " {wait} s.",
    Reason.QUOTA_EXCEEDED: "The quota {limit} is used up: the request would pass in {wait} s, when"
    " the next period begins.",
    Reason.STORE_UNAVAILABLE: "The counter store does not answer, and the route's on_store_failure"
    " is deny.",
    Reason.KEY_STORE_UNAVAILABLE: "The key is not among those held here, and the key store, which"
    " may know it, does not answer.",
    Reason.SIGNING_KEYS_UNAVAILABLE: "The provider's keys have not been fetched, so its tokens"
    " cannot be checked.",
    Reason.INTERNAL_ERROR: "Deciding failed: the service's log has the error.",
}
"""`{limit}` and `{wait}`: the limit that refused, and its seconds. `{needs}`: what is asked for."""
