"""What the person in front of the stack sees: one line a request, and a banner to start from."""

import json
from collections.abc import Mapping
from typing import TextIO

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS = {"2": "\x1b[32m", "3": "\x1b[36m", "4": "\x1b[33m", "5": "\x1b[31m"}

# The keys of the local stack. They exist nowhere else.
LOCAL_KEYS = (
    {"key": "dev-key-12345", "name": "Local, to be hammered", "tier": "free", "id": "dev-12345"},
    {"key": "dev-key-free", "name": "Local free", "tier": "free", "id": "dev-free"},
    {"key": "dev-key-pro", "name": "Local pro", "tier": "pro", "id": "dev-pro"},
    {
        "key": "dev-key-enterprise",
        "name": "Local enterprise",
        "tier": "enterprise",
        "id": "dev-enterprise",
    },
)


class Console:
    """Writes for people. Colours only on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colours = stream.isatty()

    def say(self, text: str) -> None:
        """One line, at once."""
        print(text, file=self._stream, flush=True)

    def access(self, line: bytes) -> None:
        """Envoy's access line, readable. A line that is no access line is shown as it is."""
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if isinstance(entry, dict):
            self.say(self._request(entry))
        else:
            self.say(line.decode(errors="replace").rstrip())

    def banner(self, *, port: int) -> None:
        """Where to go and what to paste."""
        url = f"http://localhost:{port}"
        keys = "".join(f"\n             {key['key']:<20} {key['tier']}" for key in LOCAL_KEYS)
        self.say(
            f"""
Ready.
  URL        {url}
  Keys       (header X-API-Key){keys}
  Try        curl -H "X-API-Key: dev-key-free" {url}/api/v1/images/limits
             curl -H "X-API-Key: dev-key-free" -H "Prefer: wait=30" \\
               -F file=@docs/sample.jpg -F scale=2 -o upscaled.jpg {url}/api/v1/images/upscale
  Metrics    curl {url}/metrics
  Stop       Ctrl-C
"""
        )

    def _request(self, entry: Mapping[str, object]) -> str:
        status = str(entry.get("status_code") or "-")
        time = str(entry.get("timestamp", ""))[11:23]
        why = f"{entry.get('reason') or '-'} {entry.get('request_id')}"
        return " ".join(
            (
                self._paint(time, _DIM),
                self._paint(status, _COLOURS.get(status[0], "")),
                f"{entry.get('method') or '-':<6}",
                f"{entry.get('path') or '-'}",
                f"{_number(entry.get('duration_ms')):.1f} ms",
                f"{entry.get('subject') or '-'}",
                self._paint(why, _DIM),
            )
        )

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colours and colour else text


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
