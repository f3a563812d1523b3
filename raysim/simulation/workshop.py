"""Keyed work: each piece once, found in the store or computed and stored, logged as it ends."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from raysim.arrow import table_bytes
from raysim.errors import DamagedEntry, RunError
from raysim.recipe import Key, canonical_json, key_of
from raysim.simulation.backends import Backend
from raysim.simulation.ledger import SERVER, Crossing
from raysim.simulation.slots import Slots
from raysim.simulation.stagelog import Observer, StageLog, StageRecord
from raysim.simulation.store import Entry, Store

_SHARED_WEIGHTS = 8
"""Sets of weights kept where parties can read them, beside those in the store."""

MEASURE_PRIORITY = -1.0
"""Measuring waits while a stage could train, whose priority is its remaining tokens."""

Done = tuple[Entry, StageRecord]


@dataclass(frozen=True)
class Product:
    """What a visit to a site brings back: JSON facts, arrays and tables."""

    info: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    tables: Mapping[str, pa.Table] = field(default_factory=dict)


class Workshop:
    """Does keyed work.

    Args:
        store: where results lie.
        backend: where parties live.
        organizations: the parties by name.
        slots: how many of them work at once.
        log: of finished work.
        session: names this run of the command in the log.
        observer: is told for people.
    """

    def __init__(
        self,
        store: Store,
        backend: Backend,
        organizations: Mapping[str, Any],
        slots: Slots,
        log: StageLog,
        session: str,
        observer: Observer,
    ) -> None:
        self.store = store
        self.backend = backend
        self.organizations = organizations
        self.slots = slots
        self.observer = observer
        self.used: set[Key] = set()
        self._log = log
        self._session = session
        self._flights: dict[Key, asyncio.Future[Done]] = {}
        self._logged: dict[Key, set[str]] = {}
        self._shared: OrderedDict[Key, Any] = OrderedDict()

    async def once(self, key: Key, setting: str, label: str, work: Callable[[], Awaitable[Done]]) -> Entry:
        """The result of `work`, logged under `setting`.

        Single flight: whoever asks for a key while its work is under way waits for the same result.
        """
        self.used.add(key)
        if key not in self._flights:
            self._flights[key] = flight = asyncio.ensure_future(_named(label, work))
            # Whoever waits is told of an error; once the run stops for one, nobody may be left to hear of a second.
            flight.add_done_callback(lambda f: f.cancelled() or f.exception())
        entry, record = await asyncio.shield(self._flights[key])
        self._ended(replace(record, setting=setting, label=label))
        return entry

    async def cached(self, key: Key) -> Entry | None:
        """The verified entry, or None; a damaged one is reported and moved away, so that it is computed again."""
        try:
            return await asyncio.to_thread(self.store.get, key)
        except DamagedEntry as error:
            self.observer.note(f"{error}; it is moved to the store's folder 'damaged' and computed again")
            self.store.discard(key)
            return None

    async def entry(self, key: Key) -> Entry:
        """The entry of work that this run has done or found.

        Raises:
            DamagedEntry: it was damaged since.
        """
        entry = await self.cached(key)
        if entry is None:
            raise DamagedEntry(f"store entry {key} was damaged while the run needed it; run the same command again")
        return entry

    async def share(self, key: Key) -> Any:
        """The weights of `key`, where parties can read them."""
        if key not in self._shared:
            entry = await self.entry(key)
            self._shared[key] = self.backend.share(entry.array("weights"))
            if len(self._shared) > _SHARED_WEIGHTS:
                self._shared.popitem(last=False)
        self._shared.move_to_end(key)
        return self._shared[key]

    async def visit(
        self,
        recipe: Mapping[str, Any],
        site: str,
        label: str,
        function: Callable[..., Product],
        *args: Any,
        tokens: int = 0,
        setting: str = "",
    ) -> Entry:
        """Keyed work of ``function(site, *args)``, with weights before `args` if the recipe names some.

        What it brings back is a crossing from the site to the server.
        """
        key = key_of(recipe)

        async def work() -> Done:
            if entry := await self.cached(key):
                return entry, StageRecord(key, recipe["kind"], "", label, "cached", tokens=tokens)
            async with self.slots.hold(site, MEASURE_PRIORITY):
                shared = [await self.share(recipe["weights"])] if "weights" in recipe else []
                self.observer.started(key, recipe["kind"], label, tokens)
                started_s = time.monotonic()
                product: Product = await self.backend.call(self.organizations[site], "visit", function, *shared, *args)
                seconds = time.monotonic() - started_s
            content = canonical_json(dict(product.info)).encode()
            content += b"".join(array.tobytes() for array in product.arrays.values())
            content += b"".join(table_bytes(table) for table in product.tables.values())
            crossing = Crossing.of(site, SERVER, recipe["kind"], content)
            info = {**product.info, "site": site, "crossings": [crossing.to_json()]}
            entry = await asyncio.to_thread(self.store.put, recipe, info, product.arrays, product.tables)
            return entry, StageRecord(key, recipe["kind"], "", label, "computed", seconds, tokens)

        return await self.once(key, setting, label, work)

    def _ended(self, record: StageRecord) -> None:
        """Logs once for each setting and key; what another setting of this run computed is cached for the next."""
        settings = self._logged.setdefault(record.key, set())
        if record.setting in settings:
            return
        if settings:
            record = replace(record, status="cached")
        if record.status == "cached":
            record = replace(record, seconds=0.0)
        settings.add(record.setting)
        self._log.append(record, self._session)
        self.observer.ended(record)


async def _named(label: str, work: Callable[[], Awaitable[Done]]) -> Done:
    """`work`, whose errors name it."""
    try:
        return await work()
    except RunError as error:
        if str(error).startswith(label):
            raise
        raise type(error)(f"{label}: {error}") from error
