"""A row of fixed-size fields, seen at once as an Avro record and as a NumPy dtype.

The high-volume topics carry arrays of such rows. Every field is an Avro ``fixed``: integers carry
the ``decimal`` logical type with scale 0, which Avro stores as big-endian two's complement, and
that is what NumPy calls ``>i8``. So the bytes of an Avro array of these records *are* a packed
table: any Avro reader can read it, and NumPy maps it without decoding a row.

Source for the encoding of ``fixed`` and of the ``decimal`` logical type: Avro 1.12 specification,
sections "Complex Types / Fixed" and "Logical Types / Decimal".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

#: Decimal digits that a two's-complement integer of that many bytes can always carry.
DIGITS_BY_BYTES: Mapping[int, int] = {1: 2, 2: 4, 4: 9, 8: 18}


@dataclass(frozen=True, slots=True)
class Field:
    """One column: ``int`` for a signed big-endian integer, ``bytes`` for opaque fixed bytes,
    ``hash`` for 64 opaque bits that NumPy reads as an unsigned big-endian integer."""

    name: str
    kind: Literal["int", "bytes", "hash"]
    size_bytes: int
    doc: str

    def __post_init__(self) -> None:
        if self.kind == "int" and self.size_bytes not in DIGITS_BY_BYTES:
            raise ValueError(
                f"{self.name}: integers take {sorted(DIGITS_BY_BYTES)} bytes, not {self.size_bytes}"
            )
        if self.kind == "hash" and self.size_bytes != 8:
            raise ValueError(f"{self.name}: a hash takes 8 bytes, not {self.size_bytes}")

    @property
    def numpy_format(self) -> str:
        match self.kind:
            case "int":
                return "i1" if self.size_bytes == 1 else f">i{self.size_bytes}"
            case "hash":
                return ">u8"
            case "bytes":
                return f"V{self.size_bytes}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a row, in wire order."""

    name: str
    namespace: str
    fields: tuple[Field, ...]

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Packed structured dtype; ``itemsize`` is the number of bytes of a row on the wire."""
        return np.dtype([(f.name, f.numpy_format) for f in self.fields])

    def avro(self, earlier: Iterable[Layout] = ()) -> dict[str, Any]:
        """The Avro record schema of one row. A ``fixed`` type is defined at its first use and
        named after, as Avro demands; `earlier`: layouts that come before it in the same schema."""
        defined = {_type_of(field) for layout in earlier for field in layout.fields}
        return {
            "type": "record",
            "name": self.name,
            "namespace": self.namespace,
            "fields": [{"name": f.name, "type": _avro_type(f, defined), "doc": f.doc} for f in self.fields],
        }


def _type_of(field: Field) -> str:
    return f"{field.kind.capitalize()}{field.size_bytes}"


def _avro_type(field: Field, defined: set[str]) -> Any:
    name = _type_of(field)
    if name in defined:
        return name
    defined.add(name)
    fixed: dict[str, Any] = {"type": "fixed", "name": name, "size": field.size_bytes}
    if field.kind == "int":
        fixed |= {"logicalType": "decimal", "precision": DIGITS_BY_BYTES[field.size_bytes], "scale": 0}
    return fixed
