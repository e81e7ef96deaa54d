"""Reads the text of an expression, written as in SQL, into a checked tree; runs none of it."""

import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal, NamedTuple, NoReturn, cast

from churn_platform.contract.expressions import (
    COMPARISONS,
    DEEPEST,
    FUNCTIONS,
    KEYWORDS,
    LONGEST,
    MOST_NODES,
    Arithmetic,
    Call,
    ColumnType,
    ColumnValue,
    ComparedValues,
    Expression,
    IsNull,
    Kind,
    Logical,
    Negative,
    Not,
    NumberValue,
    OneOf,
    RuleInvalid,
    TextValue,
    TruthValue,
    written,
)

TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<name>[A-Za-z][A-Za-z0-9_]*)
    | (?P<quoted>"[^"]*")
    | (?P<text>'(?:[^']|'')*')
    | (?P<sign><=|>=|!=|<>|==|[-+*/(),=<>])
    )""",
    re.VERBOSE,
)
SPELLINGS = {"==": "=", "<>": "!="}
MOST_NAMED = 8
"""Columns that an error names."""
NAMES: dict[Kind, str] = {"number": "a number", "text": "text", "truth": "true or false"}


TokenKind = Literal["number", "name", "quoted", "text", "sign", "end"]


class Token(NamedTuple):
    """A word, number, text or sign, and the place of its first character, from 1."""

    kind: TokenKind
    text: str
    place: int


def parse_expression(text: str, columns: Mapping[str, ColumnType]) -> Expression:
    """Read an expression over columns.

    Operators: `+ - * /`, `= != < <= > >=`, `and`, `or`, `not`, `in (...)`, `is null`. Functions:
    `coalesce(a, b)`, `abs(a)`, `min(a, b)`, `max(a, b)`. Text is in single quotes, the name of a
    column that is a word of the language in double quotes.

    Raises:
        RuleInvalid: it is not an expression over these columns.
    """
    if len(text) > LONGEST:
        raise RuleInvalid(
            f"The expression has {len(text):,} characters, and at most {LONGEST} are allowed:"
            " write a shorter one."
        )
    return _Parser(text, columns).read()


def names_in(text: str) -> set[str]:
    """The names in the text of an expression: its columns, and words of the language."""
    tokens = _tokens(text)
    return {token.text.strip('"') for token in tokens if token.kind in ("name", "quoted")}


def _tokens(text: str) -> list[Token]:
    found = []
    place = 0
    end = len(text.rstrip())
    while place < end:
        match = TOKEN.match(text, place)
        if match is None:
            start = place + len(text[place:]) - len(text[place:].lstrip())
            sign = text[start]
            advice = "leave it out"
            if sign in "'\"":
                advice = "end the text with the same quote"
            raise RuleInvalid(
                f"The expression has {sign!r} at character {start + 1}, which is not part of the"
                f" language: {advice}."
            )
        kind = cast("TokenKind", match.lastgroup)  # every alternative of TOKEN has a name
        found.append(Token(kind, match[kind], match.start(kind) + 1))
        place = match.end()
    return [*found, Token("end", "", end + 1)]


class _Parser:
    """Recursive descent, one method per level of precedence, loosest first."""

    def __init__(self, text: str, columns: Mapping[str, ColumnType]) -> None:
        self._columns = columns
        self._tokens = _tokens(text)
        self._next = 0
        self._nodes = 0
        self._level = 0

    def read(self) -> Expression:
        """The expression, which is the complete text."""
        if len(self._tokens) == 1:
            raise RuleInvalid("The expression is empty: write one over columns, as in amount > 0.")
        found = self._either()
        if self._token.kind != "end":
            self._refuse(
                "does not continue the expression: put an operator before it or leave it out"
            )
        if found.kind == "text":
            raise RuleInvalid(
                f"The expression {written(found)} is text, which has no order of risk: compare it,"
                f" as in {written(found)} = 'value'."
            )
        return found

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _is(self, *words: str) -> bool:
        """Whether the next token is one of these words or signs."""
        token = self._token
        if token.kind == "name":
            return token.text.lower() in words
        return token.kind == "sign" and SPELLINGS.get(token.text, token.text) in words

    def _take(self) -> Token:
        token = self._token
        self._next += 1
        return token

    def _expect(self, word: str, after: str) -> None:
        if not self._is(word):
            self._refuse(f"is where {word!r} should be, {after}")
        self._take()

    def _refuse(self, what: str, token: Token | None = None) -> NoReturn:
        token = self._token if token is None else token
        if token.kind == "end":
            raise RuleInvalid(f"The end of the expression (character {token.place}) {what}.")
        raise RuleInvalid(f"In the expression, {token.text} at character {token.place} {what}.")

    def _new(self, made: Expression) -> Expression:
        """Count a part of the tree."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            self._refuse(f"is after more than {MOST_NODES} parts: write a shorter one")
        return made

    def _either(self) -> Expression:
        self._level += 1
        if self._level > DEEPEST:
            self._refuse(f"is within {DEEPEST} brackets: use fewer brackets")
        left = self._both()
        while self._is("or"):
            left = self._logical(self._take(), "or", left, self._both())
        self._level -= 1
        return left

    def _both(self) -> Expression:
        left = self._negated()
        while self._is("and"):
            left = self._logical(self._take(), "and", left, self._negated())
        return left

    def _logical(
        self, token: Token, operator: Literal["and", "or"], left: Expression, right: Expression
    ) -> Expression:
        self._need("truth", token, left, right)
        return self._new(Logical(operator, left, right))

    def _negated(self) -> Expression:
        nots = []
        while self._is("not"):
            nots.append(self._take())
        found = self._compared()
        for token in reversed(nots):
            self._need("truth", token, found)
            found = self._new(Not(found))
        return found

    def _compared(self) -> Expression:
        left = self._sum()
        if self._is(*COMPARISONS):
            token = self._take()
            right = self._sum()
            self._comparable(token, left, right)
            operator = SPELLINGS.get(token.text, token.text)
            left = self._new(ComparedValues(operator, left, right))
            if self._is(*COMPARISONS):
                self._refuse("is a second comparison: join two with `and`")
        elif self._is("is"):
            self._take()
            opposite = self._taken("not")
            self._expect("null", "as in `is null`")
            left = self._new(IsNull(left))
            if opposite:
                left = self._new(Not(left))
        elif self._is("in", "not"):
            opposite = self._taken("not")
            self._expect("in", "as in `not in (1, 2)`")
            left = self._one_of(left)
            if opposite:
                left = self._new(Not(left))
        return left

    def _taken(self, word: str) -> bool:
        """Take a word if it is next."""
        if not self._is(word):
            return False
        self._take()
        return True

    def _one_of(self, operand: Expression) -> Expression:
        self._expect("(", "as in `in (1, 2)`")
        numbers: list[float] = []
        texts: list[str] = []
        while True:
            token = self._token
            negative = self._taken("-")
            entry = self._literal()
            if isinstance(entry, TextValue) and not negative:
                texts.append(entry.value)
            elif isinstance(entry, NumberValue):
                numbers.append(-entry.value if negative else entry.value)
            else:
                self._refuse("cannot be in a list: list numbers or texts", token)
            self._comparable(token, operand, entry)
            if not self._taken(","):
                break
        self._expect(")", "after the last value of the list")
        values = tuple(texts) if operand.kind == "text" else tuple(numbers)
        return self._new(OneOf(operand, values))

    def _literal(self) -> Expression:
        if self._token.kind not in ("number", "text"):
            self._refuse("cannot be in a list: list numbers or texts")
        return self._value()

    def _sum(self) -> Expression:
        left = self._term()
        while self._is("+", "-"):
            token = self._take()
            left = self._arithmetic(token, left, self._term())
        return left

    def _term(self) -> Expression:
        left = self._signed()
        while self._is("*", "/"):
            token = self._take()
            left = self._arithmetic(token, left, self._signed())
        return left

    def _arithmetic(self, token: Token, left: Expression, right: Expression) -> Expression:
        self._need("number", token, left, right)
        return self._new(Arithmetic(token.text, left, right))  # type: ignore[arg-type]

    def _signed(self) -> Expression:
        signs = []
        while self._is("-", "+"):
            signs.append(self._take())
        found = self._value()
        for token in reversed(signs):
            self._need("number", token, found)
            if token.text == "-":
                found = self._new(Negative(found))
        return found

    def _value(self) -> Expression:
        token = self._token
        if token.kind == "number":
            self._take()
            value = float(token.text)
            if math.isinf(value):
                self._refuse("is too large: write a number below 1e308", token)
            return self._new(NumberValue(value))
        if token.kind == "text":
            self._take()
            return self._new(TextValue(token.text[1:-1].replace("''", "'")))
        if self._is("true", "false"):
            self._take()
            return self._new(TruthValue(token.text.lower() == "true"))
        if self._taken("("):
            found = self._either()
            self._expect(")", f"to close the bracket of character {token.place}")
            return found
        if token.kind == "name" and self._tokens[self._next + 1].text == "(":
            return self._call(self._take())
        if token.kind == "quoted" or (token.kind == "name" and token.text.lower() not in KEYWORDS):
            return self._column(self._take())
        what = "is where a column, a number, a text or a bracket should be"
        if self._is("null"):
            what = "is not a value: write `is null` after what may be missing"
        return self._refuse(what)

    def _call(self, token: Token) -> Expression:
        function = token.text.lower()
        if function not in FUNCTIONS:
            self._refuse(f"is not a function: use {', '.join(sorted(FUNCTIONS))}", token)
        self._take()
        arguments = [self._either()]
        while self._taken(","):
            arguments.append(self._either())
        self._expect(")", f"after the arguments of {function}")
        one = function == "abs"
        if one != (len(arguments) == 1):
            self._refuse(f"takes {'one argument' if one else 'two or more arguments'}", token)
        kind: Kind = "number"
        if function == "coalesce":
            kind = arguments[0].kind
            for argument in arguments[1:]:
                self._same_kind(token, arguments[0], argument)
                if argument.kind != kind:
                    kind = "number"
        else:
            self._need("number", token, *arguments)
        return self._new(Call(function, tuple(arguments), kind))

    def _column(self, token: Token) -> Expression:
        name = token.text.strip('"')
        known = self._columns.get(name)
        if known is not None:
            return self._new(ColumnValue(name, known.kind))
        similar = get_close_matches(name, self._columns, cutoff=0.75) or sorted(self._columns)
        advice = f"use one such as {', '.join(similar[:MOST_NAMED])}"
        if token.kind == "quoted":
            advice = f"write text in single quotes, as '{name}'"
        return self._refuse(f"is not a column that it may read: {advice}", token)

    def _need(self, kind: Kind, token: Token, *operands: Expression) -> None:
        """Refuse operands of another kind; a truth value is a number, too."""
        advice = "compare it, as in column > 0"
        if kind == "number":
            advice = "compare it first, as in (column = 'value'), which counts as 1 or 0"
        for operand in operands:
            if operand.kind == kind or (kind == "number" and operand.kind == "truth"):
                continue
            self._refuse(
                f"takes {NAMES[kind]}, but {written(operand)} is {NAMES[operand.kind]}: {advice}",
                token,
            )

    def _same_kind(self, token: Token, left: Expression, right: Expression) -> None:
        if (left.kind == "text") != (right.kind == "text"):
            self._refuse(
                f"joins {written(left)}, which is {NAMES[left.kind]}, with {written(right)},"
                f" which is {NAMES[right.kind]}: use two values of one kind",
                token,
            )

    def _comparable(self, token: Token, left: Expression, right: Expression) -> None:
        self._same_kind(token, left, right)
        if left.kind == "text" and token.text in ("<", "<=", ">", ">="):
            self._refuse(
                f"compares the text {written(left)} by order: use =, != or in for text", token
            )
        for one, other in ((left, right), (right, left)):
            if isinstance(one, ColumnValue) and isinstance(other, TextValue):
                values = self._columns[one.name].values
                if values is not None and other.value not in values:
                    self._refuse(
                        f"compares {one.name} with {other.value!r}, which it never is: its values"
                        f" are {', '.join(values)}",
                        token,
                    )
