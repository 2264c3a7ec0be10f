from __future__ import annotations

import pytest
from pydantic import BaseModel

from portcast.web import models

BODIES = [one for one in vars(models).values() if isinstance(one, type) and issubclass(one, BaseModel)]
BODIES.remove(BaseModel)


@pytest.mark.parametrize("body", BODIES, ids=lambda one: one.__name__)
def test_each_body_is_described(body: type[BaseModel]) -> None:
    """The OpenAPI page is the API's reference."""
    schema = body.model_json_schema()
    assert schema["description"].endswith(".")
    assert schema["properties"]


def test_a_publication_has_one_payload() -> None:
    """The field that does not apply is left out, not null: `exclude_none` is safe because nothing else can be None."""
    text = models.PublicationBody(offset=1, time=2.0, data="")
    assert text.model_dump(exclude_none=True) == {"offset": 1, "time": 2.0, "data": ""}
    binary = models.PublicationBody(offset=1, time=2.0, base64="/w==")
    assert binary.model_dump(exclude_none=True) == {"offset": 1, "time": 2.0, "base64": "/w=="}


def test_the_last_page_says_so() -> None:
    """``next`` is always there, null at the end, so that a client need not count."""
    assert models.TopicsBody(topics=[], next=None).model_dump() == {"topics": [], "next": None}
    with pytest.raises(ValueError, match="next"):
        models.TopicsBody.model_validate({"topics": []})
