from __future__ import annotations

from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from portcast.devices import CommandState, DeviceStatus
from portcast.web import device_models as models

BODIES = [models.DeviceBody, models.DevicesBody, models.CommandRequest, models.CommandBody, models.CommandsBody]


@pytest.mark.parametrize("body", BODIES, ids=lambda one: one.__name__)
def test_each_body_is_described(body: type[BaseModel]) -> None:
    """The OpenAPI page is the API's reference."""
    schema = body.model_json_schema()
    assert schema["description"].endswith(".")
    assert schema["properties"]


def test_the_states_are_those_of_the_core() -> None:
    """One added there must be told here."""
    assert set(get_args(models.Status)) == {one.value for one in DeviceStatus}
    assert set(get_args(models.CommandBody.model_fields["state"].annotation)) == {one.value for one in CommandState}


@pytest.mark.parametrize("wrong", [{"timeout": -1}, {"timeout": 1e9}, {"lifetime": "x"}, {"typo": 1}])
def test_numbers_have_bounds(wrong: dict[str, object]) -> None:
    """And a mistyped name is no other command."""
    with pytest.raises(ValidationError):
        models.CommandRequest.model_validate({"command": "x", **wrong})
