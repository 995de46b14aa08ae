"""The SQL of this step alone: about the labels, and photos that are alike."""

from __future__ import annotations

from steps.aggregates.dialects import Dialect
from steps.aggregates.statements import Relations, capped

# Ways in which photos are alike: the columns of the labels that are equal.
SAME_BYTES, SAME_ITEMS = ("image_etag", "image_bytes"), ("asins",)


def labelled(maximum: int) -> str:
    """The labels of the classes, 0 to `maximum`, as a table."""
    return f"(SELECT * FROM labels WHERE quantity <= {maximum:d})"  # noqa: S608


def label_quantities(relations: Relations) -> str:
    """Labelled photos (`total`) by quantity (`number`)."""
    return f"""SELECT quantity AS number, count(*) AS total
FROM {relations.labels} AS labelled
GROUP BY quantity
ORDER BY 1"""  # noqa: S608


def larger_quantities(relations: Relations, maximum: int, most: int) -> str:
    """Metadata files (`total`) by usable quantity above `maximum` (`number`); all from `most` on are one row."""
    number = f"CAST({capped('quantity', most)} AS bigint)"
    return f"""SELECT {number} AS number, count(*) AS total
FROM {relations.metadata} AS document
WHERE quantity_kind = 'number' AND quantity > {maximum:d} AND quantity = floor(quantity)
GROUP BY {number}
ORDER BY 1"""  # noqa: S608


def metadata_files(relations: Relations) -> str:
    """The number of metadata files, as `total`."""
    return f"SELECT count(*) AS total FROM {relations.metadata} AS document"  # noqa: S608


def unequal_units(relations: Relations, dialect: Dialect) -> str:
    """Labelled photos whose quantity is not the sum of their items' units (`total`); unknown units are not summed."""
    return f"""SELECT count(*) AS total
FROM {relations.labels} AS labelled
LEFT JOIN (
  SELECT image_id, sum(item.quantity) AS units
  FROM {dialect.items(relations.metadata, "image_id")} AS held
  GROUP BY image_id
) AS summed ON summed.image_id = labelled.image_id
WHERE labelled.quantity <> coalesce(summed.units, 0)"""  # noqa: S608


def alike(relations: Relations, dialect: Dialect, same: tuple[str, ...], most: int) -> str:
    """Groups of alike photos by their number of photos (`number`); all from `most` on are one row.

    Further columns: groups, photos, several_quantities (groups of several quantities), largest (photos of a group).
    """
    number = capped("photos", most)
    return f"""SELECT
  {number} AS number,
  count(*) AS groups,
  sum(photos) AS photos,
  sum(CASE WHEN smallest < largest THEN 1 ELSE 0 END) AS several_quantities,
  max(photos) AS largest
FROM ({_groups(relations, dialect, same)}) AS alike
GROUP BY {number}
ORDER BY 1"""  # noqa: S608


def largest_alike(relations: Relations, dialect: Dialect, same: tuple[str, ...], most: int) -> str:
    """The largest groups of alike photos: first and last id, photos, smallest and largest quantity."""
    return f"""SELECT first_id, last_id, photos, smallest, largest
FROM ({_groups(relations, dialect, same)}) AS alike
ORDER BY photos DESC, first_id
LIMIT {most:d}"""  # noqa: S608


def _groups(relations: Relations, dialect: Dialect, same: tuple[str, ...]) -> str:
    # A bin without items is like no other.
    condition = f"\n  WHERE {dialect.length('asins')} > 0" if same == SAME_ITEMS else ""
    columns = ", ".join(same)
    return f"""
  SELECT
    min(image_id) AS first_id,
    max(image_id) AS last_id,
    count(*) AS photos,
    min(quantity) AS smallest,
    max(quantity) AS largest
  FROM {relations.labels} AS labelled{condition}
  GROUP BY {columns}
  HAVING count(*) > 1
"""  # noqa: S608
