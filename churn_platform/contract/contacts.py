"""The parts of a contract about contacts: the table of contacts, and how they are planned."""

from pydantic import Field

from churn_platform.contract.columns import ContractPart, Name


class Contacts(ContractPart):
    """Where contacts with customers are recorded: a table with any number of rows a customer."""

    table: Name
    """Table of the contacts. A drop holds those made since the drop before; rows may come late.
    Example: `contacts`
    """
    contacted_on: Name
    """Date column with the day of the contact. Example: `contacted_on`"""
    action: Name
    """Column with what was done. Example: `action`"""
    outcome: Name | None = None
    """Column with what came of it. Example: `outcome`"""
    not_reached: tuple[str, ...] = ()
    """Values of `outcome` that mean that the customer was not reached.

    Example: `[no answer]`
    """
    cost: Name | None = None
    """Number column with the cost of the contact. Example: `cost`"""
    assigned: Name | None = None
    """Boolean column that is false for contacts that the list did not ask for.

    Example: `on_the_list`
    """

    @property
    def columns(self) -> dict[str, str]:
        """The fields that name a column -> the column."""
        named = self.model_dump(exclude={"table", "not_reached"}, exclude_none=True)
        return {field: str(column) for field, column in named.items()}


class ContactPolicy(ContractPart):
    """Whom the retention team contacts, and who is left alone so the effect can be measured."""

    budget: int | float = Field(default=500, gt=0)
    """Number of customers to contact in a month; below 1 a share of the customers.

    Example: `200`
    """
    untouched_share: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the customers above the cut of the list who are not contacted, at random. With 0
    no effect can be measured. Example: `0.2`
    """
    explore_share: float = Field(default=0.05, ge=0, le=0.5)
    """Share of the budget that goes to random customers below the cut. Example: `0.1`"""
    salt: str = Field(default="contacts", min_length=1)
    """Text that decides who is untouched. It must differ from `policy.training.salt`.

    Example: `contacts-2024`
    """
    value: float | str | None = None
    """What a saved customer is worth: one number, or a number column of a feature table, as
    `table.column`; by default `costs.missed_churner`. Example: `members.yearly_fee`
    """
    contact_cost: float = Field(default=0, ge=0)
    """Cost of contacting one customer, where the contact table has none. Example: `1.5`"""
    incentive: float = Field(default=0, ge=0)
    """What is given to each customer who is contacted, whether they would have left or not.

    Example: `10`
    """
    cooldown_cadences: int = Field(default=1, ge=0)
    """Number of drops for which a customer who was on a list, contacted or untouched, is not
    on it again. Example: `2`
    """
    months: int = Field(default=12, ge=1)
    """Number of drops over which the effect is judged: it is looked at with each, and all looks
    together have the error rate of `policy.promotion.level`. Example: `6`
    """
