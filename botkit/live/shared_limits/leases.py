"""The slots of one counter of the exchange that this process has leased, and what the ledger must hear of them."""

from __future__ import annotations

from botkit.live.shared_limits.ledger import Report
from botkit.model.clock import NS_PER_S, NS_PER_US, Nanos
from botkit.model.limits import Scope, WindowLimit

#: slots beyond the standing stock that nobody asked for in so long go back
IDLE_NS = NS_PER_S
#: cancels in stock: a forty-fifth of the window, at most so many
CANCEL_STOCK_DIVISOR, CANCEL_STOCK_MAX = 45, 20
#: windows of so many requests have one slot in stock for each process, so that a lone order need not ask first
LEAST_STOCKED = 100
#: most slots that are leased ahead: a share of the window, at most so many
AHEAD_DIVISOR, AHEAD_MAX = 64, 32


class LeasedPool:
    """A counter of the exchange: leased slots, and what the ledger must be told of them."""

    __slots__ = (
        "ahead",
        "always_urgent",
        "asked_at",
        "cooled",
        "declared",
        "given_back",
        "granted_at",
        "in_flight",
        "late",
        "late_ns",
        "lower",
        "name",
        "needs_plain",
        "needs_urgent",
        "occupied",
        "reserve",
        "retry_at",
        "shortened",
        "standing",
        "stock",
        "taken",
        "windows",
    )

    def __init__(self, name: str, *, reserve: int, always_urgent: bool, late_ns: Nanos) -> None:
        self.name = name
        self.reserve = reserve
        self.always_urgent = always_urgent
        self.late_ns = late_ns
        self.windows: list[tuple[WindowLimit, tuple[Scope, ...]]] = []
        self.standing = 0
        self.ahead = 1
        self.stock = 0  # leased and unused
        self.taken = 0  # how many the engine took from it, less those that it gave back
        self.in_flight = 0  # leased and on their way
        self.declared: list[int] = []  # on their way, held under these keys since this process joined again
        self.needs_urgent = False
        self.needs_plain = False
        self.asked_at: Nanos = 0  # when the router last wanted more than was in stock
        self.granted_at: Nanos = 0
        self.retry_at: Nanos = 0
        # reports, in times of the steady clock
        self.given_back = 0
        self.cooled: list[Nanos] = []
        self.late: list[tuple[int, Nanos]] = []
        self.occupied: list[tuple[int, Nanos]] = []
        self.shortened: list[tuple[int, Nanos]] = []
        self.lower = False

    def add_window(self, window: WindowLimit, scopes: tuple[Scope, ...]) -> None:
        """One more window in which a request of this pool takes a slot."""
        self.windows.append((window, scopes))
        least = min(w.requests for w, _ in self.windows)
        if self.always_urgent:
            self.standing = min(CANCEL_STOCK_MAX, least // CANCEL_STOCK_DIVISOR)
        else:
            self.standing = 1 if least >= LEAST_STOCKED else 0
        self.reserve = self.reserve if least > self.reserve else 0

    @property
    def ahead_max(self) -> int:
        """Most slots to lease ahead."""
        return max(1, min(AHEAD_MAX, min(w.requests for w, _ in self.windows) // AHEAD_DIVISOR))

    @property
    def is_dirty(self) -> bool:
        """True while there is something to report."""
        return bool(self.given_back or self.cooled or self.late or self.occupied or self.shortened or self.lower)

    @property
    def wants(self) -> bool:
        """True while more slots would be welcome."""
        return self.needs_urgent or self.needs_plain or self.stock < self.standing

    def return_idle(self, now: Nanos) -> None:
        """Give back what nobody asks for."""
        if self.stock > self.standing and self.idle_at() <= now:
            self.given_back += self.stock - self.standing
            self.stock = self.standing
            self.ahead = 1

    def idle_at(self) -> Nanos:
        """When unused slots should go back."""
        return max(self.asked_at, self.granted_at) + IDLE_NS

    def report(self, place: int, now: Nanos) -> Report | None:
        """What the ledger has to know and to give; None if nothing."""
        wanted = urgent = 0
        if self.wants and self.retry_at <= now:
            want = max(self.standing, self.ahead if self.needs_urgent or self.needs_plain else 0) - self.stock
            if self.needs_urgent or self.always_urgent:
                urgent = max(0, want)
            else:
                wanted = max(0, want)
        if not (self.is_dirty or wanted or urgent):
            return None
        report = Report(
            pool=place,
            given_back=self.given_back,
            # whole microseconds, so that a slot is held longer and never shorter
            cooled=tuple(max(0, (now - at) // NS_PER_US) for at in self.cooled),
            late=tuple((key, -((now - at) // NS_PER_US)) for key, at in self.late),
            occupied=tuple((key, -((now - at) // NS_PER_US)) for key, at in self.occupied),
            shortened=tuple((key, -((now - at) // NS_PER_US)) for key, at in self.shortened),
            lower=self.lower,
            wanted=wanted,
            wanted_urgently=urgent,
        )
        self.given_back = 0
        self.cooled, self.late, self.occupied, self.shortened, self.lower = [], [], [], [], False
        return report

    def ended(self, at: Nanos) -> None:
        """An answer was read at ``at``."""
        if self.in_flight:
            self.in_flight -= 1
            self.cooled.append(at)
        else:
            self.shortened.append((self.declared.pop(), at))
