"""A listing in key order by several requests at a time, and the same as page after page.

ListObjectsV2 returns a page of 1,000 keys. The next page is requested by the last of them, or with `StartAfter` by a
key that need not exist:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html

So the names are cut into ranges, each of them one request: what a page does not reach of its range becomes ranges of
its own, cut where its keys make the next pages likely (`steps/runtime/key_ranges.py`). The listing is the same by any
cut; a bad one costs requests. Ranges without a key lower the number of requests in flight, the others raise it.

General purpose buckets list in the order of bytes, but a server with folders may list a folder's keys where the
folder's own name belongs (`a/1` before `a-1`), as the local cloud's does, and a cut between the two would lose keys.
Therefore a page with keys of deeper folders, or out of order, ends all cuts: from there on page follows page, until
one has none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

from steps.contracts.errors import StepError
from steps.runtime.key_ranges import Alphabets, Ruler

# Requests in flight at first, and at least where guesses are wrong.
FIRST_WINDOW, SMALLEST_WINDOW = 4, 2
# Pages that wait for the ones before them, per request in flight.
WAITING_PAGES = 2
T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """An answer: names (keys without the listing's prefix), their objects, and whether more follow."""

    names: list[str]
    objects: list[T]
    truncated: bool


# The page after a name; None: the first page.
Fetch = Callable[[str | None], Page[T]]


@dataclass(eq=False)
class _Range(Generic[T]):
    """Names after `after` (None: all), up to and with `until` (None: all): one request, once it is asked for.

    `ruler` cuts it into pieces before; `objects` are those of its answer.
    """

    after: str | None
    until: str | None = None
    ruler: Ruler | None = None
    asked: bool = False
    guessed: bool = False
    objects: list[T] | None = None


def in_key_order(fetch: Fetch[T], requests: int) -> Iterator[list[T]]:
    """The objects of a listing page by page, in order, with at most `requests` calls of `fetch` at a time.

    `fetch` runs in threads, and its errors are raised here. At most 3 pages per request are in memory. Raises StepError
    for a store that returns a page again.
    """
    listing = _Listing(fetch, requests)
    with ThreadPoolExecutor(requests, thread_name_prefix="listing-page") as executor:
        while listing.ranges:
            listing.ask(executor)
            listing.receive()
            if (objects := listing.ranges[0].objects) is not None:
                del listing.ranges[0]
                if objects:
                    yield objects


class _Listing(Generic[T]):
    """The ranges that have not been yielded, in order, and the requests in flight."""

    def __init__(self, fetch: Fetch[T], requests: int) -> None:
        self.ranges: list[_Range[T]] = [_Range(None)]
        self._fetch = fetch
        self._requests = requests
        self._window = min(FIRST_WINDOW, requests)
        self._asked: dict[Future[Page[T]], _Range[T]] = {}
        self._alphabets = Alphabets()

    def ask(self, executor: ThreadPoolExecutor) -> None:
        """Send the requests that there is room for, the first ranges first."""
        while len(self._asked) < self._window:
            waiting = next((place for place, part in enumerate(self.ranges) if not part.asked), None)
            if waiting is None or (waiting and len(self.ranges) > (1 + WAITING_PAGES) * self._requests):
                return
            part = self._cut(waiting)
            part.asked, part.guessed = True, bool(waiting)
            self._asked[executor.submit(self._fetch, part.after)] = part

    def _cut(self, place: int) -> _Range[T]:
        """The first piece of the range at `place`; what remains is a range after it."""
        part = self.ranges[place]
        if part.ruler is not None and part.after is not None:
            middle = part.ruler.next(part.after, part.until)
            if middle is not None:
                self.ranges.insert(place + 1, _Range(middle, part.until, part.ruler))
                part.until = middle
        return part

    def receive(self) -> None:
        """Take the answers that have come, and wait for some where the first range has none."""
        done = {future for future in self._asked if future.done()}
        if self.ranges[0].objects is None and not done:
            done, _ = wait(self._asked, return_when=FIRST_COMPLETED)
        for future in done:
            part, page = self._asked.pop(future), future.result()
            # Another answer may have made its range void.
            if part in self.ranges:
                self._take(part, page)

    def _take(self, part: _Range[T], page: Page[T]) -> None:
        end = page.names[-1] if page.truncated and page.names else None
        if end is not None and end == part.after:
            raise StepError(f"the listing after {end!r} ends with it again; this S3 server does not list after a key")
        place = self.ranges.index(part)
        if _is_flat(page.names):
            self._extend(part, place, end)
            kept = len(page.names) if part.until is None else bisect_right(page.names, part.until)
            self._follow(part, place, end, Ruler.of(page.names, self._alphabets))
        else:
            del self.ranges[place + 1 :]
            part.until = end
            kept = len(page.names)
            if end is not None:
                self.ranges.append(_Range(end))
        part.objects = page.objects[:kept]
        if part.guessed:
            self._window = min(self._requests, self._window + 1) if kept else max(SMALLEST_WINDOW, self._window // 2)

    def _extend(self, part: _Range[T], place: int, end: str | None) -> None:
        """Let the range cover what its page shows of the next ranges; those that it shows whole are void.

        Void are also those that were asked for: where names are far apart, each answer would else come after the
        request for the next piece of the gap, and all of the gap would be asked for.
        """
        while place + 1 < len(self.ranges):
            following = self.ranges[place + 1]
            if end is not None and (following.until is None or end < following.until):
                if not following.asked and following.after is not None and end > following.after:
                    part.until = following.after = end
                return
            part.until = following.until
            del self.ranges[place + 1]

    def _follow(self, part: _Range[T], place: int, end: str | None, ruler: Ruler | None) -> None:
        """Add a range for what the page does not reach, and let the next cuts be by this page's ruler."""
        if end is not None and (part.until is None or end < part.until):
            self.ranges.insert(place + 1, _Range(end, part.until, ruler))
            part.until = end
        elif ruler is not None and end is not None:
            waiting = next((later for later in self.ranges[place + 1 :] if not later.asked), None)
            if waiting is not None and waiting.ruler is not None:
                waiting.ruler = ruler


def _is_flat(names: list[str]) -> bool:
    """Whether the names are in order, and in no folder below."""
    return all(first < second for first, second in pairwise(names)) and not any("/" in name for name in names)
