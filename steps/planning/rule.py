"""The rule by which photos are grouped and split, as SQL that DuckDB and Spark run alike.

Photos of the same physical bin stay in one split. What connects photos are nodes: a distinct set of items, a named
group, and the bytes of several photos. Two sets are alike if their Jaccard similarity is at least one half. Sets of a
and b items are, exactly if they share ceil((a + b) / 3) of them; so each small set is listed once per subset of that
many items, and sets that meet in a subset are alike: the work grows with the number of sets, also where an item is in
most of them. Larger sets are compared with all that share an item near their start, by the prefix and the positional
filter of
Bayardo, Ma, Srikant: Scaling Up All Pairs Similarity Search (WWW 2007) and
Xiao, Wang, Lin, Yu: Efficient Similarity Joins for Near Duplicate Detection (WWW 2008).

Items are compared by hashes of 63 bits, and subsets by two such hashes: among a million kinds of items the chance that
any two have the same hash is 1 in ten million.

Tables, in the order in which they are made (each is dropped when nothing needs it any more):

    photo       n, image_id, quantity, earlier, wave, key, s, g, c: the usable photos; s, g and c are the nodes of their
                items, group and bytes, or null; earlier is the split that they have already, -1 without
    wide        n, image_key, image_etag, image_bytes
    refused     image_id, reason
    sets        node, codes, size: the distinct sets of items
    met         k1, k2, node, low: sets that share a subset. `low` ones are alike to all others, the others to the low
    pairs       u, v: alike sets of which one is large
    bits        node, bits: the splits (1, 2, 4) of the earlier photos in a node, where there are any
    near        root, bits: the splits that a group of new photos, or an earlier node, belongs to or is alike to
    piece       grp, size, key, quantity, photos: the new photos that are to be assigned, by group and quantity
    chosen      grp, split
    planned     n, image_id, quantity, split, key, wave
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa

from steps.contracts.dataset import SPLITS, SplitName
from steps.contracts.errors import StepError
from steps.contracts.labels import SCHEMA
from steps.contracts.photo_files import ID
from steps.contracts.shard_plan import CALIBRATION_BINS, Uneven
from steps.contracts.shard_summary import Leakage, Overlap
from steps.contracts.wording import count_of
from steps.planning.assigning import Groups, QuantityCounts, assign
from steps.planning.dialect import Dialect
from steps.planning.settings import DatasetSettings

log = logging.getLogger(__name__)

# Items of the largest sets that are met in subsets: a set of 8 items has up to 266.
LARGEST = 8
# Pairs of larger sets that take a minute on one core, and the number from which on they are named.
_PAIRS_PER_MINUTE, _MANY_PAIRS = 30_000_000, 120_000_000
# Items that may be in too many photos to say something: they are part of a query.
_COMMON_ITEMS = 10_000
# Percentage points by which the share of a quantity in a split may differ from the wanted one without a word.
_EVEN = 0.01
# Such shares that a warning names.
_EXAMPLES = 6

# Sets that are listed with others, of both sizes: `equal` if these are the same.
_MEETINGS = """
    SELECT k1, k2, node, low FROM (
        SELECT k1, k2, node, low, equal, count(*) OVER same AS sets,
            sum(CASE WHEN low THEN 1 ELSE 0 END) OVER same AS lows
        FROM ({part}) AS listed WINDOW same AS (PARTITION BY k1, k2)
    ) AS counted WHERE sets > 1 AND (equal OR (lows > 0 AND lows < sets))
"""

_SAFE_ID = rf"\A{ID}\z"
# S3 accepts any key, but clients resolve these segments and would request another object.
_UNSAFE_KEY = r"(\A|/)\.{0,2}(/|\z)"
# The columns of a photo's nodes.
_NODES = ("s", "g", "c")
_VALIDATION = SPLITS.index("validation")
_BIT = "CASE {0} WHEN 0 THEN 1 WHEN 1 THEN 2 WHEN 2 THEN 4 ELSE 0 END"


class Session(Protocol):
    """An engine with the tables `labels` (the labels contract) and `assigned` (image_id, split, wave)."""

    dialect: Dialect

    def create(self, name: str, query: str) -> None:
        """Compute a query and keep its result as a table."""

    def insert(self, name: str, query: str, parts: list[str]) -> None:
        """Create a table of a query of `{part}`, which has the same rows for all parts together as for each of them."""

    def drop(self, *names: str) -> None:
        """Remove tables that nothing needs any more."""

    def rows(self, query: str) -> pa.Table:
        """The result of a query, which is small."""

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """The result of a query, in its order, a piece at a time."""

    def register(self, name: str, table: pa.Table) -> None:
        """Keep a table of the driver."""

    def connect(self, name: str, edges: str) -> None:
        """Create a table (node, root) of the connected components of a table (u, v).

        The root is the smallest node of a component; a node that is its own root may be missing.
        """


@dataclass(frozen=True)
class Decision:
    """What a plan decides, besides the table `planned`. `assigned` photos have no split of an earlier run."""

    labelled: int
    left_out: dict[str, int]
    class_counts: dict[SplitName, dict[int, int]]
    leakage: Leakage
    largest_group: int
    uneven: list[Uneven]
    calibration: list[str]
    assigned: int


def decide(session: Session, settings: DatasetSettings) -> Decision:
    """Plan the photos of the table `labels`; those of the table `assigned` keep their split.

    With `settings.split` "file" the table `given` (image_id, split) has the splits. Raises StepError if a split is
    empty, a quantity does not occur in training, or all photos show one quantity.
    """
    return _Planning(session, settings).decide()


@dataclass
class _Planning:
    session: Session
    settings: DatasetSettings
    sizes: list[int] = field(default_factory=list)
    earlier: bool = False

    def decide(self) -> Decision:
        labelled = self._photos()
        self._sets()
        self._meetings()
        self._pairs()
        grouped = self.settings.split == "grouped"
        self.earlier = grouped and bool(self._value("SELECT count(*) FROM photo WHERE earlier >= 0"))
        if grouped:
            self._groups()
        self._plan()
        class_counts = self._class_counts()
        left_out = self._left_out(labelled)
        check_splits(class_counts)
        leakage, largest, calibration = self._of_bins(class_counts)
        return Decision(
            labelled=labelled,
            left_out=left_out,
            class_counts=class_counts,
            leakage=leakage,
            largest_group=largest,
            uneven=_uneven(class_counts, self.settings.fractions) if self.settings.split != "file" else [],
            calibration=calibration,
            assigned=self._value("SELECT count(*) FROM planned WHERE wave = 0 AND split >= 0"),
        )

    # ------------------------------------------------------------------------------------------- photos and nodes

    def _photos(self) -> int:
        """The tables of photos, without their nodes. Returns the number of labelled photos."""
        sql, given = self.session.dialect, self.settings.split == "file"
        required = [field.name for field in SCHEMA if not field.nullable]
        nulls = self.session.rows(
            "SELECT " + ", ".join(f"count(*) - count({name}) AS {name}" for name in required) + " FROM labels"
        )
        for name, rows in nulls.to_pylist()[0].items():
            if rows:
                raise StepError(f"the labels have {count_of(rows, 'row')} without {name}; run the query step again")
        twice = self.session.rows(
            "SELECT image_id FROM labels GROUP BY image_id HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
        )
        if len(twice):
            raise StepError(f"the image id {twice['image_id'][0].as_py()!r} occurs twice in the labels")
        reasons = [
            f"WHEN NOT {sql.matches('l.image_id', _SAFE_ID)} THEN 'unsafe-id'",
            f"WHEN {sql.matches('l.image_key', _UNSAFE_KEY)} THEN 'unsafe-key'",
            *(["WHEN f.split IS NULL THEN 'not-in-split-file'"] if given else []),
        ]
        split = "f.split" if given else "a.split"
        common = self._common_items()
        self.session.create(
            "labelled",
            f"""
            SELECT {sql.number()} AS n, l.image_id, l.quantity, l.image_key, l.image_etag, l.image_bytes, l.bin_group,
                CASE {" ".join(reasons)} END AS reason, coalesce({split}, -1) AS earlier, coalesce(a.wave, 0) AS wave,
                {sql.shuffle_key("l.image_id")} AS key, {sql.codes("l.asins", common)} AS codes
            FROM labels l LEFT JOIN assigned a ON a.image_id = l.image_id
            {"LEFT JOIN given f ON f.image_id = l.image_id" if given else ""}
            """,
        )
        self.session.create("refused", "SELECT image_id, reason FROM labelled WHERE reason IS NOT NULL")
        self.session.create("wide", "SELECT n, image_key, image_etag, image_bytes FROM labelled WHERE reason IS NULL")
        return self._value("SELECT count(*) FROM labelled")

    def _common_items(self) -> list[int]:
        """The hashes of the items that say nothing about a bin. Raises StepError where they are very many."""
        share = self.settings.common_items
        if share >= 1:
            return []
        sql = self.session.dialect
        self.session.create("listed", f"SELECT image_id, {sql.codes('asins')} AS codes FROM labels")
        photos = self._value("SELECT count(*) FROM labels")
        counts = (
            f"SELECT code, count(*) AS photos FROM ({sql.exploded('listed', ['image_id'], 'codes', 'code')}) AS held"
            " GROUP BY code"
        )
        rows = self.session.rows(
            f"SELECT code FROM ({counts}) AS counted WHERE photos > {share * photos!r} ORDER BY code"
            f" LIMIT {_COMMON_ITEMS + 1}"
        )
        self.session.drop("listed")
        if len(rows) > _COMMON_ITEMS:
            raise StepError(
                f"more than {_COMMON_ITEMS} items are in more than {share:g} of the photos; set a larger share"
                " (shard.common_items)"
            )
        log.info("%s in more than %g of the photos, which say nothing about a bin", count_of(len(rows), "item"), share)
        common: list[int] = rows["code"].to_pylist()
        return common

    def _sets(self) -> None:
        """Number the nodes: the distinct sets of items, the named groups, and the bytes of several photos."""
        sql, session = self.session.dialect, self.session
        session.create(
            "coded",
            f"""
            SELECT n, image_id, quantity, earlier, wave, key, bin_group, image_etag, image_bytes, codes,
                {sql.length("codes")} AS size, {sql.xor_of("codes")} AS s1, {sql.xor_of(sql.hashes("codes"))} AS s2
            FROM labelled WHERE reason IS NULL
            """,
        )
        session.drop("labelled")
        session.create(
            "sets",
            f"""
            SELECT {sql.number()} AS node, s1, s2, size, codes
            FROM (SELECT s1, s2, size, min(codes) AS codes FROM coded WHERE size > 0 GROUP BY s1, s2, size) AS d
            """,
        )
        after = f"{sql.number()} + (SELECT coalesce(max(node), 0) + 1 FROM {{0}})"
        session.create(
            "named",
            f"""
            SELECT {after.format("sets")} AS node, bin_group
            FROM (SELECT DISTINCT bin_group FROM coded WHERE bin_group IS NOT NULL) AS d
            """,
        )
        # Equal ETags are equal bytes: an ETag is the MD5 digest of an object, or of the digests of its parts. The
        # converse does not hold: copies that were uploaded in other parts, or are encrypted by a key of KMS, have other
        # ETags. https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
        session.create(
            "copied",
            f"""
            SELECT {sql.number()} + (SELECT max(node) + 1 FROM (
                SELECT 0 AS node UNION ALL SELECT max(node) FROM sets UNION ALL SELECT max(node) FROM named) AS every
            ) AS node, image_etag, image_bytes
            FROM (SELECT image_etag, image_bytes FROM coded WHERE image_bytes <> 0
                GROUP BY image_etag, image_bytes HAVING count(*) > 1) AS d
            """,
        )
        session.create(
            "photo",
            """
            SELECT p.n, p.image_id, p.quantity, p.earlier, p.wave, p.key, s.node AS s, g.node AS g, c.node AS c
            FROM coded p
            LEFT JOIN sets s ON s.s1 = p.s1 AND s.s2 = p.s2 AND s.size = p.size
            LEFT JOIN named g ON g.bin_group = p.bin_group
            LEFT JOIN copied c ON c.image_etag = p.image_etag AND c.image_bytes = p.image_bytes
            """,
        )
        session.drop("coded", "named", "copied")

    def _meetings(self) -> None:
        """The table `met` of small sets that share a subset which makes them alike."""
        sizes = self.session.rows("SELECT DISTINCT size FROM sets ORDER BY size")["size"].to_pylist()
        self.sizes = sizes
        small = [size for size in sizes if size <= LARGEST]
        self.session.create(
            "mixed",
            f"SELECT node, size, codes, {self.session.dialect.hashes('codes')} AS others FROM sets"
            f" WHERE size <= {LARGEST}",
        )
        listed = [
            self._listed(low, high)
            for low, high in itertools.combinations_with_replacement(small, 2)
            # Two sets of one or of two items are alike only if they are the same.
            if high <= 2 * low and (low != high or low > 2)
        ]
        nothing = "SELECT s1 AS k1, s2 AS k2, node, true AS low, true AS equal FROM sets WHERE size < 0"
        self.session.insert("met", _MEETINGS, listed or [nothing])
        self.session.drop("mixed")

    def _listed(self, low: int, high: int) -> str:
        """The query of the sets of these two sizes, once per subset that makes two of them alike if they share it."""
        shared = -(-(low + high) // 3)
        return " UNION ALL ".join(
            f"SELECT k1, k2, node, {str(size == low).lower()} AS low, {str(low == high).lower()} AS equal FROM"
            f" ({self._subsets(size, shared, _tag(low, high))}) AS of_size"
            for size in sorted({low, high})
        )

    def _subsets(self, size: int, shared: int, tag: int) -> str:
        """The query of all sets of a size, once per subset of `shared` items, with two hashes of tag and subset."""
        places = list(itertools.combinations(range(1, size + 1), shared))
        lists = {"k1": "codes", "k2": "others"}
        of_size = f"(SELECT node, codes, others FROM mixed WHERE size = {size}) AS of_size"
        return self.session.dialect.subsets(of_size, ["node"], lists, tag, places)

    def _pairs(self) -> None:
        """The table `pairs` of alike sets of which one has more than LARGEST items."""
        sql, session = self.session.dialect, self.session
        if not self.sizes or self.sizes[-1] <= LARGEST:
            session.create("pairs", "SELECT node AS u, node AS v FROM sets WHERE size < 0")
            return
        of_set = sql.exploded("sets", ["node", "size"], "codes", "code")
        counts = f"SELECT code, count(*) AS total FROM ({of_set}) AS i GROUP BY code"
        # In two alike sets, each has a shared item among the first half of its items and one more, in any order of the
        # items; the rarest first leaves the fewest pairs.
        session.create(
            "entry",
            f"""
            SELECT i.node, i.size, i.code,
                row_number() OVER (PARTITION BY i.node ORDER BY c.total, i.code) - 1 AS place
            FROM ({of_set}) AS i JOIN ({counts}) AS c ON c.code = i.code
            WHERE 2 * i.size > {LARGEST}
            """,
        )
        may_be = f"""
            a.code = b.code AND a.size > {LARGEST} AND a.place <= a.size / 2 AND b.place <= b.size / 2
            AND (b.size < a.size OR (b.size = a.size AND b.node < a.node))
        """
        compared = self._value(
            f"""
            SELECT coalesce(sum(large * every), 0) FROM (
                SELECT sum(CASE WHEN size > {LARGEST} THEN 1 ELSE 0 END) AS large, count(*) AS every
                FROM entry WHERE place <= size / 2 GROUP BY code
            ) AS of_item
            """
        )
        if compared > _MANY_PAIRS:
            log.warning(
                "up to %d pairs of bins with more than %d items share items, which takes about %d minutes per core",
                *(compared, LARGEST, math.ceil(compared / _PAIRS_PER_MINUTE)),
            )
        session.create(
            "candidate",
            f"""
            SELECT DISTINCT a.node AS u, b.node AS v, a.size + b.size AS total FROM entry a JOIN entry b ON {may_be}
            WHERE 3 * least(a.size - a.place, b.size - b.place) >= a.size + b.size
            """,
        )
        session.create(
            "pairs",
            """
            SELECT t.u, t.v FROM candidate t
            JOIN entry a ON a.node = t.u JOIN entry b ON b.node = t.v AND b.code = a.code
            GROUP BY t.u, t.v, t.total HAVING 3 * count(*) >= t.total
            """,
        )
        session.drop("entry", "candidate")

    # ------------------------------------------------------------------------------------------------- groups

    def _groups(self) -> None:
        """The tables `roots` and, with earlier photos, `near`.

        New photos that are linked form a group. A group that is linked to earlier photos of one split joins that split,
        and one that is linked to earlier photos of two splits is set aside. An earlier photo never moves.
        """
        session = self.session
        if not self.earlier:
            session.create("edges", self._edges())
            session.connect("roots", "edges")
            session.drop("edges")
            return
        session.create(
            "bits",
            "SELECT node, bit_or(bits) AS bits FROM ("
            + " UNION ALL ".join(
                f"SELECT {node} AS node, {_BIT.format('earlier')} AS bits FROM photo"
                f" WHERE {node} IS NOT NULL AND earlier >= 0"
                for node in _NODES
            )
            + ") AS every GROUP BY node",
        )
        session.create("old", "SELECT node FROM bits")
        session.create("edges", self._edges(absent="old", photos="earlier < 0"))
        session.connect("roots", "edges")
        shared = _shared("photo", "earlier < 0")
        session.create(
            "reached",
            f"""
            SELECT node, bit_or(bits) AS bits FROM (
                SELECT node, CASE WHEN low THEN every ELSE of_low END AS bits FROM (
                    SELECT m.node, m.low, bit_or(coalesce(b.bits, 0)) OVER same AS every,
                        bit_or(CASE WHEN m.low THEN coalesce(b.bits, 0) ELSE 0 END) OVER same AS of_low
                    FROM met m LEFT JOIN bits b ON b.node = m.node WINDOW same AS (PARTITION BY m.k1, m.k2)
                ) AS meeting
                UNION ALL SELECT p.u, b.bits FROM pairs p JOIN bits b ON b.node = p.v
                UNION ALL SELECT p.v, b.bits FROM pairs p JOIN bits b ON b.node = p.u
                UNION ALL SELECT s.u, b.bits FROM ({shared}) AS s JOIN bits b ON b.node = s.v
                    LEFT JOIN old o ON o.node = s.u WHERE o.node IS NULL
                UNION ALL SELECT s.v, b.bits FROM ({shared}) AS s JOIN bits b ON b.node = s.u
                    LEFT JOIN old o ON o.node = s.v WHERE o.node IS NULL
            ) AS near_node WHERE bits <> 0 GROUP BY node
            """,
        )
        session.create(
            "near",
            """
            SELECT root, bit_or(bits) AS bits FROM (
                SELECT coalesce(r.root, e.node) AS root, e.bits
                FROM (SELECT node, bits FROM bits UNION ALL SELECT node, bits FROM reached) AS e
                LEFT JOIN roots r ON r.node = e.node
            ) AS of_root GROUP BY root
            """,
        )
        session.drop("edges", "reached", "bits", "old")

    def _edges(self, table: str = "photo", *, absent: str = "", photos: str = "true") -> str:
        """A query of pairs of nodes (u, v) that connect what alike sets and the `photos` of a table connect.

        Nodes of the table `absent` connect nothing.
        """
        here = "o.node IS NULL" if absent else "true"
        join = f"LEFT JOIN {absent} o ON o.node = m.node" if absent else ""
        both = " ".join(f"LEFT JOIN {absent} o{side} ON o{side}.node = e.{side}" for side in "uv") if absent else ""
        return f"""
            SELECT DISTINCT e.u, e.v FROM (
                SELECT root AS u, node AS v FROM (
                    SELECT m.node, {here} AS here,
                        min(CASE WHEN m.low AND {here} THEN m.node END) OVER (PARTITION BY m.k1, m.k2) AS root
                    FROM met m {join}
                ) AS meeting WHERE here AND root <> node
                UNION ALL SELECT u, v FROM pairs
                UNION ALL {_shared(table, photos)}
            ) AS e {both} {"WHERE ou.node IS NULL AND ov.node IS NULL" if absent else ""}
        """

    def _plan(self) -> None:
        """The table `planned`: every usable photo with its split; -2 where it is between two splits."""
        session, settings = self.session, self.settings
        grouped = settings.split == "grouped"
        split, joins = "p.earlier", ""
        if grouped and self.earlier:
            # The nodes of a photo may be in different groups only where earlier photos are between them.
            nears = []
            for node in _NODES:
                joins += f" LEFT JOIN roots r{node} ON r{node}.node = p.{node}"
                joins += f" LEFT JOIN near n{node} ON n{node}.root = coalesce(r{node}.root, p.{node})"
                nears.append(f"coalesce(n{node}.bits, 0)")
            split = f"CASE WHEN p.earlier >= 0 THEN p.earlier ELSE CASE {' | '.join(nears)}"
            split += " WHEN 0 THEN -1 WHEN 1 THEN 0 WHEN 2 THEN 1 WHEN 4 THEN 2 ELSE -2 END END"
        session.create(
            "joined",
            f"SELECT p.n, p.image_id, p.quantity, p.key, p.wave, p.s, p.g, p.c, {split} AS split FROM photo p{joins}",
        )
        if settings.split == "file":
            session.create("planned", "SELECT n, image_id, quantity, split, key, wave FROM joined")
            return
        # Nodes are numbered from 0 on; a photo without any is a group of its own.
        first = "coalesce(p.s, p.g, p.c)"
        root, join = f"coalesce({first}, -1 - p.n)", ""
        if grouped:
            root, join = f"coalesce(r.root, {first}, -1 - p.n)", f"LEFT JOIN roots r ON r.node = {first}"
        else:
            root = "-1 - p.n"
        session.create(
            "member", f"SELECT p.n, p.image_id, p.quantity, p.key, p.split, {root} AS grp FROM joined p {join}"
        )
        self._assign()
        session.create(
            "planned",
            """
            SELECT p.n, p.image_id, p.quantity, CASE WHEN p.split = -1 THEN c.split ELSE p.split END AS split,
                p.key, p.wave
            FROM joined p JOIN member m ON m.n = p.n LEFT JOIN chosen c ON c.grp = m.grp
            """,
        )
        session.drop("member", "chosen", "joined")

    def _assign(self) -> None:
        """The table `chosen`: the split of each group of photos without a split."""
        session = self.session
        counts = self._counts(
            "SELECT split, quantity, count(*) AS photos FROM member WHERE split >= 0 GROUP BY split, quantity"
        )
        session.create(
            "piece",
            """
            SELECT p.grp, f.key, sum(p.photos) OVER (PARTITION BY p.grp) AS size, p.quantity, p.photos
            FROM (SELECT grp, quantity, count(*) AS photos FROM member WHERE split = -1 GROUP BY grp, quantity) AS p
            JOIN (SELECT grp, min_by(key, image_id) AS key FROM member GROUP BY grp) AS f ON f.grp = p.grp
            """,
        )
        groups = Groups.gathered(
            session.batches("SELECT grp, quantity, photos FROM piece ORDER BY size DESC, key, grp, quantity")
        )
        session.drop("piece")
        self._warn_of_a_large_group(groups)
        chosen = assign(groups, counts, self.settings.fractions)
        session.register("chosen", pa.table({"grp": pa.array(groups.names), "split": pa.array(chosen)}))

    def _warn_of_a_large_group(self, groups: Groups) -> None:
        """Warn where a group is larger than a split should be, since no group is divided."""
        largest, photos = groups.largest, groups.photos
        if self.settings.split == "grouped" and largest > min(self.settings.fractions.values()) * photos:
            log.warning(
                "%d of %d new photos are a group, joined by items or group names that many bins have; it stays in one"
                " split, so the shares of the splits can differ from the wanted ones (--common-items names the share of"
                " photos above which an item joins nothing)",
                largest,
                photos,
            )

    # ------------------------------------------------------------------------------------------------- results

    def _class_counts(self) -> dict[SplitName, dict[int, int]]:
        counts = self._counts(
            "SELECT split, quantity, count(*) AS photos FROM planned WHERE split >= 0 GROUP BY split, quantity"
        )
        return {split: dict(sorted(counts[split].items())) for split in SPLITS}

    def _left_out(self, labelled: int) -> dict[str, int]:
        """The photos that are left out, by reason. Raises StepError where no photo is left."""
        self.session.create(
            "left_out",
            """
            SELECT image_id, reason FROM refused
            UNION ALL SELECT image_id, 'between-two-splits' AS reason FROM planned WHERE split < 0
            """,
        )
        self.session.drop("refused")
        rows = self.session.rows("SELECT reason, count(*) AS photos FROM left_out GROUP BY reason ORDER BY reason")
        left_out = dict(zip(rows["reason"].to_pylist(), rows["photos"].to_pylist(), strict=True))
        if sum(left_out.values()) == labelled:
            counts = ", ".join(f"{reason} {n}" for reason, n in Counter(left_out).most_common())
            raise StepError(f"none of the {labelled} labelled photos can be used: {counts or 'the labels are empty'}")
        return left_out

    def _of_bins(self, class_counts: dict[SplitName, dict[int, int]]) -> tuple[Leakage, int, list[str]]:
        """The overlap of these splits, and of a random split of the same photos; photos of the largest group; and the
        photos by which models are calibrated.

        Photos that are left out connect no bins.
        """
        self._used(class_counts)
        if self.settings.split != "grouped" or self.earlier:
            self._connect_used()
        self.session.drop("met", "pairs", "photo")
        bins, items, facts = self._same_bins(), self._same_items(), self._facts()
        calibration = self._calibration()
        self.session.drop("used", "sets", "roots")
        overlaps = {
            split: Overlap(photos=facts[split], same_bin=bins[split], same_item=items[split])
            for split in ("split", "chance")
        }
        leakage = Leakage(
            split=overlaps["split"],
            random=overlaps["chance"],
            photos=facts["photos"],
            unknown=facts["unknown"],
            copies=facts["copies"],
        )
        return leakage, bins["largest"], calibration

    def _used(self, class_counts: dict[SplitName, dict[int, int]]) -> None:
        """The table `used`: the planned photos with their nodes, and with the split that chance would give them."""
        fractions = self.settings.fractions
        if self.settings.split == "file":
            total = {split: sum(counts.values()) for split, counts in class_counts.items()}
            fractions = {split: total[split] / sum(total.values()) for split in SPLITS}
        first, second = (float(limit) for limit in np.cumsum([fractions[split] for split in SPLITS])[:-1])
        unit = self.session.dialect.unit("p.key")
        chance = f"CASE WHEN {unit} < {first!r} THEN 0 WHEN {unit} < {second!r} THEN 1 ELSE 2 END"
        self.session.create(
            "used",
            f"""
            SELECT p.n, p.quantity, p.split, p.key, {chance} AS chance, o.s, o.g, o.c
            FROM planned p JOIN photo o ON o.n = p.n WHERE p.split >= 0
            """,
        )

    def _connect_used(self) -> None:
        """The table `roots` of what the used photos connect, earlier ones too."""
        session = self.session
        nodes = " UNION ".join(f"SELECT {node} AS node FROM {{0}} WHERE {node} IS NOT NULL" for node in _NODES)
        session.create(
            "unused",
            f"""
            SELECT e.node FROM ({nodes.format("photo")}) AS e LEFT JOIN ({nodes.format("used")}) AS u ON u.node = e.node
            WHERE u.node IS NULL
            """,
        )
        session.create("edges", self._edges("used", absent="unused"))
        session.connect("roots", "edges")
        session.drop("edges", "unused")

    def _same_bins(self) -> dict[str, int]:
        """Held-out photos of a bin that is in training too, by these splits and by chance; and the largest bin."""
        node = "coalesce(u.s, u.g, u.c)"
        return self._numbers(
            f"""
            SELECT {_held("split_trained", "split")}, {_held("chance_trained", "chance")}, max(photos) AS largest FROM (
                SELECT {_SIDES}, count(*) AS photos FROM (
                    SELECT u.split, u.chance, coalesce(r.root, {node}) AS bin
                    FROM used u LEFT JOIN roots r ON r.node = {node} WHERE {node} IS NOT NULL
                ) AS of_bin GROUP BY bin
            ) AS counted
            """
        )

    def _calibration(self) -> list[str]:
        """The ids of validation photos, one per bin that no other split has, in order; a random choice of many."""
        node = "coalesce(u.s, u.g, u.c)"
        # The least key of a bin with many photos is small, which would favour such bins. The exclusive or of its keys
        # is as random as one key.
        rows = self.session.rows(
            f"""
            SELECT p.image_id FROM planned p JOIN (
                SELECT n FROM (
                    SELECT min_by(n, key) AS n, bit_xor(key) AS lot, min(key) AS least FROM (
                        SELECT coalesce(r.root, {node}, -1 - u.n) AS bin, u.split, u.key, u.n
                        FROM used u LEFT JOIN roots r ON r.node = {node}
                    ) AS of_bin GROUP BY bin HAVING min(split) = {_VALIDATION} AND max(split) = {_VALIDATION}
                ) AS held ORDER BY lot, least LIMIT {CALIBRATION_BINS}
            ) AS chosen ON chosen.n = p.n
            """
        )
        return sorted(rows["image_id"].to_pylist())

    def _same_items(self) -> dict[str, int]:
        """Held-out photos with an item that is in training too, by these splits and by chance."""
        self.session.create(
            "weighed",
            f"""
            SELECT s.node, s.codes, t.split_trained, t.split_held, t.chance_trained, t.chance_held
            FROM sets s JOIN (SELECT s AS node, {_SIDES} FROM used WHERE s IS NOT NULL GROUP BY s) AS t
            ON t.node = s.node
            """,
        )
        columns = ["node", "split_trained", "split_held", "chance_trained", "chance_held"]
        entries = self.session.dialect.exploded("weighed", columns, "codes", "code")
        numbers = self._numbers(
            f"""
            SELECT {_held("split_shared", "split")}, {_held("chance_shared", "chance")} FROM (
                SELECT e.node, max(e.split_held) AS split_held, max(e.chance_held) AS chance_held,
                    max(i.split_trained) AS split_shared, max(i.chance_trained) AS chance_shared
                FROM ({entries}) AS e JOIN (
                    SELECT code, sum(split_trained) AS split_trained, sum(chance_trained) AS chance_trained
                    FROM ({entries}) AS every GROUP BY code
                ) AS i ON i.code = e.code GROUP BY e.node
            ) AS of_set
            """
        )
        self.session.drop("weighed")
        return numbers

    def _facts(self) -> dict[str, int]:
        """Used photos of bins that are not empty, those of unknown bins, copies, and held-out photos."""
        return self._numbers(
            f"""
            SELECT {_number_of("quantity > 0", "photos")},
                {_number_of("quantity > 0 AND s IS NULL AND g IS NULL", "unknown")},
                {_number_of("c IS NOT NULL", "copies")},
                {_number_of("split > 0", "split")}, {_number_of("chance > 0", "chance")}
            FROM used
            """
        )

    def _numbers(self, query: str) -> dict[str, int]:
        """The only row of a query; 0 for a sum of nothing."""
        return {name: int(value or 0) for name, value in self.session.rows(query).to_pylist()[0].items()}

    def _counts(self, query: str) -> QuantityCounts:
        counts: dict[SplitName, Counter[int]] = {split: Counter() for split in SPLITS}
        for row in self.session.rows(query).to_pylist():
            counts[SPLITS[row["split"]]][row["quantity"]] = row["photos"]
        return counts

    def _value(self, query: str) -> int:
        return int(self.session.rows(query).column(0)[0].as_py())


def _number_of(condition: str, name: str) -> str:
    return f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END) AS {name}"


def _held(trained: str, split: str) -> str:
    """The held-out photos of rows of which a photo is in training."""
    return f"sum(CASE WHEN {trained} > 0 THEN {split}_held ELSE 0 END) AS {split}"


# Photos in training and held-out photos, by the splits and by chance.
_SIDES = ", ".join(
    _number_of(condition, f"{split}_{name}")
    for split in ("split", "chance")
    for condition, name in ((f"{split} = 0", "trained"), (f"{split} > 0", "held"))
)


def _tag(low: int, high: int) -> int:
    """An evenly spread number of 62 bits, so that a subset of sets of these sizes is no subset of sets of others."""
    return int.from_bytes(hashlib.blake2b(bytes([low, high]), digest_size=8).digest()) >> 2


def _shared(table: str, photos: str) -> str:
    """A query of pairs of nodes (u, v) that the `photos` of a table connect by being in both."""
    return (
        f"SELECT coalesce(s, g) AS u, c AS v FROM {table}"
        f" WHERE coalesce(s, g) IS NOT NULL AND c IS NOT NULL AND {photos}"
        f" UNION ALL SELECT s AS u, g AS v FROM {table} WHERE s IS NOT NULL AND g IS NOT NULL AND {photos}"
    )


def check_splits(class_counts: dict[SplitName, dict[int, int]]) -> None:
    """Log the photos per split and quantity. Raises StepError for a split or a training quantity without a photo."""
    everywhere = {quantity for counts in class_counts.values() for quantity in counts}
    for split in SPLITS:
        counts = class_counts[split]
        log.info("%s: %s", split, ", ".join(f"{n} photos of {q}" for q, n in sorted(counts.items())))
        if not counts:
            raise StepError(f"no photo is in the {split} split; use more photos, other fractions or another split")
    if len(everywhere) < 2:
        photos = sum(sum(counts.values()) for counts in class_counts.values())
        raise StepError(f"all {photos} photos show {min(everywhere)} objects; a model needs two quantities")
    for quantity in sorted(everywhere - set(class_counts["train"])):
        raise StepError(f"no photo with quantity {quantity} is in the training split; use more photos or another split")
    for split in SPLITS:
        for quantity in sorted(everywhere - set(class_counts[split])):
            log.warning("quantity %d is too rare to occur in the %s split", quantity, split)


def _uneven(class_counts: dict[SplitName, dict[int, int]], fractions: dict[SplitName, float]) -> list[Uneven]:
    """The quantities whose share in a split is not the wanted one, with a warning about them."""
    uneven = []
    for quantity in sorted({quantity for counts in class_counts.values() for quantity in counts}):
        photos = sum(counts.get(quantity, 0) for counts in class_counts.values())
        for split in SPLITS:
            number = class_counts[split].get(quantity, 0)
            # A photo more or less is no matter of groups.
            if abs(number - fractions[split] * photos) > max(_EVEN * photos, 1):
                share = round(number / photos, 4)
                uneven.append(Uneven(quantity=quantity, split=split, share=share, wanted=round(fractions[split], 6)))
    if uneven:
        examples = [f"{100 * u.share:.1f}% of quantity {u.quantity} in {u.split}" for u in uneven[:_EXAMPLES]]
        log.warning(
            "shares differ by more than a percentage point from the wanted ones, since photos of the same bin are not"
            " divided: %s%s",
            ", ".join(examples),
            f" and {len(uneven) - _EXAMPLES} more" if len(uneven) > _EXAMPLES else "",
        )
    return uneven
