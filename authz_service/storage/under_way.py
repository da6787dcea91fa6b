"""What the shared store has been asked and has not answered yet. No I/O."""

from authz_service.core.counter_key import counter_kind
from authz_service.core.rules import Charge, Limit


class UnderWay:
    """The charges of this process that the shared store may be taking at this moment."""

    def __init__(self) -> None:
        self._by_subject: dict[str, list[tuple[Charge, ...]]] = {}

    def began(self, subject: str, charges: tuple[Charge, ...]) -> None:
        """These are sent."""
        asked = self._by_subject.get(subject)
        if asked is None:
            self._by_subject[subject] = [charges]
        else:
            asked.append(charges)

    def ended(self, subject: str, charges: tuple[Charge, ...]) -> None:
        """These are answered, or given up."""
        asked = self._by_subject[subject]
        asked.remove(charges)
        if not asked:
            del self._by_subject[subject]

    def places(self, subject: str, limit: Limit) -> int:
        """How many places of a limit they may take."""
        asked = self._by_subject.get(subject, ())
        counter = (counter_kind(limit), limit.name)
        return sum(
            charge.cost
            for charges in asked
            for charge in charges
            if (counter_kind(charge.limit), charge.limit.name) == counter
        )
