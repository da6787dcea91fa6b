"""What the shared store has been asked and has not answered yet. No I/O."""

from authz_service.core.counter_key import counter_kind
from authz_service.core.hits import Fixed, Hit
from authz_service.core.rules import Charge, Limit

Asked = tuple[Charge, ...] | tuple[Hit, ...]
"""What is asked of counters of one subject."""


class UnderWay:
    """The charges and hits of this process that the shared store may be taking at this moment."""

    def __init__(self) -> None:
        self._by_subject: dict[str, list[Asked]] = {}

    def began(self, subject: str, asked: Asked) -> None:
        """These are sent."""
        sent = self._by_subject.get(subject)
        if sent is None:
            self._by_subject[subject] = [asked]
        else:
            sent.append(asked)

    def ended(self, subject: str, asked: Asked) -> None:
        """These are answered, or given up."""
        sent = self._by_subject[subject]
        sent.remove(asked)
        if not sent:
            del self._by_subject[subject]

    def places(self, subject: str, limit: Limit | Fixed) -> int:
        """How many places of a limit they may take."""
        sent = self._by_subject.get(subject)
        if sent is None:
            return 0
        counter = (counter_kind(limit), limit.name)
        return sum(
            one.cost
            for asked in sent
            for one in asked
            if (counter_kind(one.limit), one.limit.name) == counter
        )
