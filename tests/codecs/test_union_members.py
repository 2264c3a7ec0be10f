from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType

import pytest
from pydantic import BaseModel, Discriminator, Field, Tag
from typing_extensions import TypeAliasType

from portcast.codecs import BinaryModel, BinaryUnion, UInt8, check_union, members_of
from portcast.errors import ConfigurationError


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Black(BaseModel):
    kind: Literal["dog"] = "dog"
    colour: Literal["black"] = "black"


class White(BaseModel):
    kind: Literal["dog"] = "dog"
    colour: Literal["white"] = "white"


class Login(BinaryModel):
    tag: Annotated[Literal[1], UInt8()] = 1


class Position(BinaryModel):
    tag: Annotated[Literal[2], UInt8()] = 2


@dataclass
class Bird:
    kind: Literal["bird"] = "bird"


Dog = Annotated[Black | White, Field(discriminator="colour")]
Animal = Annotated[Cat | Dog, Field(discriminator="kind")]
Named = TypeAliasType("Named", Animal)  # what `type Named = Animal` makes
OnlyCat = NewType("OnlyCat", Cat)


@pytest.mark.parametrize(
    ("annotation", "members"),
    [
        (Cat, (Cat,)),
        (Cat | Black | Cat, (Cat, Black)),
        (Animal, (Cat, Black, White)),
        (Named, (Cat, Black, White)),
        (OnlyCat, (Cat,)),
    ],
    ids=["class", "union", "nested", "alias", "newtype"],
)
def test_members(annotation: object, members: tuple[type[Any], ...]) -> None:
    """Each class once, in order, however deep."""
    assert members_of(annotation) == members
    if annotation != Cat | Black | Cat:
        check_union(annotation)


def test_discriminators_of_all_kinds() -> None:
    """By field, by function, and by the tag of binary models."""
    check_union(Annotated[Login | Position, BinaryUnion("tag")])
    check_union(Annotated[Cat | Bird, Field(discriminator="kind")])
    check_union(Annotated[Annotated[Cat, Tag("c")] | Annotated[Black, Tag("b")], Discriminator(lambda value: "c")])


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (Cat | Black, "Cat | Black: no field says which of them a message is; write Annotated[Cat | Black, Field("),
        (Annotated[Cat | Black | White, Field(title="x")], "no field says"),
        (Annotated[Cat | (Black | White), Field(description="x")], "no field says"),
        (dict[str, int], "it is no class"),
        (Cat | None, "NoneType is no model"),
        (str, "str is no model"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(annotation: object, problem: str) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigurationError) as error:
        check_union(annotation)
    assert problem in str(error.value)


def test_a_union_inside_needs_its_own_discriminator() -> None:
    """The outer field does not tell the inner models apart."""
    inner = Annotated[Black | White, Field(title="dogs")]
    with pytest.raises(ConfigurationError, match=r"Black \| White: no field"):
        check_union(Annotated[Annotated[Cat, Tag("c")] | inner, Discriminator(lambda value: "c")])
