"""Whole numbers that remember how they follow from the length of the context.

A graph is built for one context, but nearly every decision on the way (what is contiguous, what may
be overwritten, which kernel exists) would fall alike for another. So the cells of the caches enter
as ``Extent``, an int that carries its formula, linear in those cells. Every comparison of such a
number is noted in a ``Region``: the graph holds, with its sizes by formula, for all contexts where
each comparison comes out as it did. What is not linear pins the region to the context at hand, so
an answer from a region is never a guess (concolic execution: Sen, Marinov and Agha 2005).
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Self

Form = tuple[int | Fraction, ...]
"""c₀ + c₁·x₁ + c₂·x₂ + …, where every x is at least 1."""


def value_at(form: Form, units: Sequence[int]) -> int | Fraction:
    """The number that a form stands for."""
    return sum([c * x for c, x in zip(form[1:], units, strict=True)], form[0])


class Region:
    """Contexts for which a graph was built alike: what was found of its formulas on the way."""

    __slots__ = ("_negative", "_other", "_positive", "_rests", "_zero", "pinned", "units")

    def __init__(self, units: Sequence[int]) -> None:
        self.units = tuple(units)
        self.pinned = False
        """Whether nothing is known of any other context."""
        self._positive: set[Form] = set()
        self._negative: set[Form] = set()
        self._zero: set[Form] = set()
        self._other: set[Form] = set()
        self._rests: set[tuple[Form, int, int]] = set()

    def extents(self, unit: int) -> "list[Extent]":
        """One number per x, as many times ``unit`` as it says."""
        count = len(self.units)
        forms = [(0, *(unit * (i == at) for i in range(count))) for at in range(count)]
        return [Extent(unit * x, form, self) for x, form in zip(self.units, forms, strict=True)]

    def holds(self, units: Sequence[int]) -> bool:
        """Whether the graph of these units is the same, formulas and all."""
        if self.units == tuple(units):
            return True
        return not self.pinned and (
            all(value_at(form, units) > 0 for form in self._positive)
            and all(value_at(form, units) < 0 for form in self._negative)
            and all(value_at(form, units) == 0 for form in self._zero)
            and all(value_at(form, units) != 0 for form in self._other)
            and all(value_at(form, units) % by == rest for form, by, rest in self._rests)
        )

    def note_sign(self, form: Form, value: int) -> None:
        """Note which sign a form has here, unless it has that sign everywhere."""
        if value > 0:
            if sum(form) <= 0 or min(form[1:]) < 0:
                self._positive.add(form)
        elif value < 0:
            if sum(form) >= 0 or max(form[1:]) > 0:
                self._negative.add(form)
        else:
            self._zero.add(form)

    def note_zero(self, form: Form, value: int) -> None:
        """Note whether a form is zero here, unless it never is."""
        if not value:
            self._zero.add(form)
        elif not (sum(form) > 0 and min(form[1:]) >= 0) and not (
            sum(form) < 0 and max(form[1:]) <= 0
        ):
            self._other.add(form)

    def note_rest(self, form: Form, by: int, rest: int) -> None:
        """Note what dividing a form leaves."""
        self._rests.add((form, by, rest))


class Extent(int):
    """A number with its formula. Arithmetic that keeps it linear keeps the formula.

    What does not vary is a plain int: an Extent always depends on some x.
    """

    form: Form
    region: Region

    def __new__(cls, value: int, form: Form, region: Region) -> Self:
        """``value`` is what the form comes to at the region's own units."""
        self = int.__new__(cls, value)
        self.form = form
        self.region = region
        return self

    def _pin(self, *_: object) -> None:
        self.region.pinned = True

    # Arithmetic

    def __add__(self, other: int) -> int:
        value = int.__add__(self, other)
        if isinstance(other, Extent):
            form = tuple([a + b for a, b in zip(self.form, other.form, strict=True)])
            return Extent(value, form, self.region) if any(form[1:]) else value
        return Extent(value, (self.form[0] + other, *self.form[1:]), self.region)

    __radd__ = __add__

    def __neg__(self) -> int:
        return Extent(int.__neg__(self), tuple([-c for c in self.form]), self.region)

    def __sub__(self, other: int) -> int:
        return self + -other

    def __rsub__(self, other: int) -> int:
        return -self + other

    def __mul__(self, other: int) -> int:
        value = int.__mul__(self, other)
        if isinstance(other, Extent):
            self._pin()
            return value
        if not other:
            return 0
        return Extent(value, tuple([c * other for c in self.form]), self.region)

    __rmul__ = __mul__

    def __divmod__(self, by: int) -> tuple[int, int]:
        value, rest = int.__divmod__(self, by)
        if isinstance(by, Extent):
            self._pin()
            return value, rest
        constant, *varying = self.form
        if any(c % by for c in varying):
            self.region.note_rest(self.form, by, rest)
            form = (Fraction(constant - rest, by), *(Fraction(c, by) for c in varying))
        else:
            form = tuple([c // by for c in self.form])
        return Extent(value, form, self.region), rest

    def __floordiv__(self, by: int) -> int:
        return divmod(self, by)[0]

    def __mod__(self, by: int) -> int:
        return divmod(self, by)[1]

    def __rdivmod__(self, other: int) -> tuple[int, int]:
        self._pin()
        return int.__divmod__(other, int(self))

    def __rfloordiv__(self, other: int) -> int:
        return self.__rdivmod__(other)[0]

    def __rmod__(self, other: int) -> int:
        return self.__rdivmod__(other)[1]

    # Comparisons

    def _minus(self, other: int) -> tuple[Form, int]:
        return (d.form, int(d)) if isinstance(d := self - other, Extent) else ((), d)

    def _sign(self, other: object) -> int:
        """The sign of the difference, noted."""
        if not isinstance(other, int):
            raise TypeError("an extent compares with whole numbers only")
        form, value = self._minus(other)
        if form:
            self.region.note_sign(form, value)
        return value

    def __lt__(self, other: int) -> bool:
        return self._sign(other) < 0

    def __le__(self, other: int) -> bool:
        return self._sign(other) <= 0

    def __gt__(self, other: int) -> bool:
        return self._sign(other) > 0

    def __ge__(self, other: int) -> bool:
        return self._sign(other) >= 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, int):
            return False
        form, value = self._minus(other)
        if form:
            self.region.note_zero(form, value)
        return not value

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __bool__(self) -> bool:
        value = int(self)
        self.region.note_zero(self.form, value)
        return value != 0

    def __hash__(self) -> int:
        self._pin()
        return int.__hash__(self)
