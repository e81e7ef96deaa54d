"""Records kept as JSON: frozen models that keep what they do not know."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from churn_platform.base.errors import IntegrityError


class Stored(BaseModel):
    """A record of a file. A field of another version of the platform is kept as it is."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    @classmethod
    def read(cls, fields: Mapping[str, Any] | None, what: str) -> Self:
        """The record of a file's fields; without a file an empty record.

        Raises:
            IntegrityError: a field is missing or wrong; the error names `what`.
        """
        try:
            return cls.model_validate(fields or {})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise IntegrityError(
                f"{what} is invalid at {place!r} ({first['msg']}): restore it from a backup."
            ) from error

    def as_json(self) -> dict[str, Any]:
        """The JSON of the file, with only the fields that were set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
