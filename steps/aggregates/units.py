"""Units of weights and sizes in metadata files."""

from __future__ import annotations

from steps.contracts.exploration import UnitName

_GRAMS = 453.59237
_MILLIMETRES = 25.4
# How many pounds or inches a unit of the files is, in any case of letters.
SIZES: dict[UnitName, dict[str, float]] = {
    "lb": {
        **dict.fromkeys(("pounds", "pound", "lb", "lbs"), 1.0),
        **dict.fromkeys(("ounces", "ounce", "oz"), 1 / 16),
        **dict.fromkeys(("kilograms", "kilogram", "kg"), 1000 / _GRAMS),
        **dict.fromkeys(("grams", "gram", "g"), 1 / _GRAMS),
    },
    "in": {
        **dict.fromkeys(("inches", "inch", "in"), 1.0),
        **dict.fromkeys(("feet", "foot", "ft"), 12.0),
        **dict.fromkeys(("centimeters", "centimetres", "cm"), 10 / _MILLIMETRES),
        **dict.fromkeys(("millimeters", "millimetres", "mm"), 1 / _MILLIMETRES),
    },
}
