"""Valid names for headers, plain words for names, and what a name suggests about a column."""

import re
import unicodedata
from itertools import chain, count

from churn_platform.base import text
from churn_platform.contract.consistency import RESERVED

WINDOW_UNITS = {"d": "day", "w": "week", "m": "month", "y": "year"}
SHORT = {
    "avg": "average", "num": "number of", "nr": "number of", "cnt": "count of",
    "qty": "quantity of", "mins": "minutes", "min": "minutes", "hrs": "hours",
    "secs": "seconds", "amt": "amount", "pct": "percent", "max": "largest",
    "std": "spread of",
}  # fmt: skip
COUNT_WORDS = frozenset({"count", "cnt", "num", "number", "nr", "n", "qty", "quantity", "times"})
IDENTIFIERS = frozenset({"id", "key", "uuid", "guid", "uid", "msisdn"})
PEOPLE = frozenset({
    "customer", "cust", "user", "account", "acct", "member", "client", "subscriber",
    "subscription", "household", "person", "party", "patient", "player", "company",
})  # fmt: skip
NUMBERS = frozenset({"no", "nr", "num", "number", "code", "phone", "email", "iban"})
JOINED_ID = re.compile(rf"({'|'.join(sorted(PEOPLE))})id")
LEAVE_WORDS = {
    "churn": 4, "churned": 4, "churner": 4, "churns": 4, "attrition": 4, "attrited": 4,
    "left": 2, "leaver": 2, "leavers": 2, "leaves": 2, "cancel": 2, "cancels": 2,
    "cancelled": 2, "canceled": 2, "exited": 2, "lapsed": 2, "lost": 2, "terminated": 2,
    "quit": 2, "gone": 2, "unsubscribed": 2, "inactive": 1,
}  # fmt: skip
STAY_WORDS = {
    "retained": 2, "retention": 2, "stayed": 2, "stays": 2, "remained": 2, "remains": 2,
    "renewed": 2, "kept": 2, "active": 1, "alive": 1, "loyal": 1, "current": 1,
}  # fmt: skip
"""Words of a label that marks the opposite of churn."""
LABEL_WORDS = {
    **LEAVE_WORDS, **STAY_WORDS,
    "label": 2, "labels": 2, "target": 2, "outcome": 1, "outcomes": 1, "y": 1,
}  # fmt: skip
NEGATIONS = frozenset({"not", "non", "never"})
LATE_STEMS = (
    "cancel", "churn", "terminat", "reason", "refund", "attrit", "unsubscrib", "deactivat",
    "winback", "closure", "offboard",
)  # fmt: skip
LATE_WORDS = frozenset({"left", "exit", "exited", "lapsed", "leaver", "quit"})
END_WORDS = frozenset({"end", "ended", "closed"})
DATE_WORDS = frozenset({"date", "day", "at", "on", "dt", "month", "time", "timestamp"})
PERSONAL_WORDS = frozenset({
    "surname", "firstname", "lastname", "forename", "fullname", "email", "phone", "mobile",
    "iban", "address", "street",
})  # fmt: skip
WHOSE_NAME = frozenset({"first", "last", "full", "family", "given", "middle", "maiden"})
VALUE_WORDS = frozenset({
    "clv", "ltv", "cltv", "value", "revenue", "arpu", "mrr", "arr", "spend", "spending", "margin",
    "cost", "costs", "fn", "fp",
})  # fmt: skip
ROW_WORDS = frozenset({
    "index", "idx", "row", "rows", "rownumber", "rownum", "rowid", "number", "num", "no",
    "nr", "line", "record", "x", "lp",
})  # fmt: skip
CERTAIN_DATES = frozenset({"date", "timestamp", "epoch"})
"""Words that show a date, whatever else the name suggests."""
DATE_HINTS = CERTAIN_DATES | {
    "day", "dt", "at", "on", "since", "joined", "start", "started", "begin", "created",
    "opened", "signup", "registered", "registration", "birth", "birthday", "born", "dob",
    "renewal", "renewed", "updated", "upgraded", "activated", "subscribed", "ts", "excel",
    "expires", "expiry",
}  # fmt: skip
NUMBER_HINTS = IDENTIFIERS | NUMBERS | COUNT_WORDS | VALUE_WORDS | {
    "zip", "zipcode", "postal", "postcode", "plz", "mobile", "salary", "income", "wage",
    "amount", "balance", "price", "fee", "total", "points", "views", "steps", "days", "km",
    "miles", "mileage", "credit", "limit", "bytes", "sum", "sales", "turnover",
}  # fmt: skip
CONTACT_NAME = re.compile(
    r"contact(?!less)|outreach|touchpoint|campaign|mailing|kontakt|kampagne|ansprache"
)
"""A table of contacts, or their date, by name."""
CHANNEL_NAME = re.compile(
    r"\b(?:calls?|called|callings?|e?mails?|mailed|letters?|sms|phone|telephone)\b"
    r"|anruf|angerufen|telefon|\bbriefe?\b"
)
"""How a customer is contacted."""
INBOUND_NAME = re.compile(
    r"\b(?:tickets?|complaints?|inbound|incoming|support|helpdesk|enquir|inquir)"
    r"|beschwerde|reklamation|eingehend|\banfrage"
)
"""Contacts that the customer began."""
OTHER_DATE_NAME = re.compile(
    r"\b(?:created|updated|modified|birth|born|valid|next|due|planned|follow|import)"
    r"|erstellt|geaendert|geandert|geburt|gueltig|gultig|naechst|nachst|geplant|faellig|fallig"
)
"""Dates of a table of contacts that are not the day of the contact."""
ACTION_NAMES = (
    re.compile(r"\b(?:action|treatment|aktion|massnahme)"),
    re.compile(r"channel|kanal|medium|kontaktweg|\bmedia\b"),
    re.compile(r"\b(?:type|kind|typ|art|method)\b|kontaktart|kontakttyp"),
    re.compile(r"campaign|kampagne|\boffer\b|angebot"),
)
"""What was done, the best names first."""
OUTCOME_NAME = re.compile(
    r"outcome|\bresults?\b|\bstatus\b|respon[sd]|reaction|disposition|\breached\b"
    r"|ergebnis|resultat|reaktion|antwort|\berreicht\b|ausgang"
)
COST_NAME = re.compile(r"\b(?:costs?|price|expense)\b|kosten|preis|aufwand")
ASSIGNED_NAME = re.compile(
    r"\b(?:assigned|planned|targets?|targeted|listed|list|plan|selected)\b"
    r"|geplant|zugewiesen|zielgruppe|liste\b|ausgewahlt|ausgewaehlt"
)
NOT_REACHED = re.compile(
    r"no answer|(?:not|never) (?:reached|available|home|at home|answered)|unreach\w*|unanswered"
    r"|(?:left )?(?:a )?voice ?mail|left (?:a )?message|answering machine|mail ?box|busy"
    r"|wrong number|invalid number|(?:hard |soft )?bounced?|undeliver\w+|returned to sender"
    r"|(?:nicht|nie) (?:erreicht|erreichbar|angetroffen|da|zustellbar)|unerreicht"
    r"|niemand (?:erreicht|da)|keine antwort|kein anschluss|anrufbeantworter|ab|besetzt"
    r"|falsche (?:nummer|adresse)|unzustellbar|unbekannt verzogen"
    r"|geen gehoor|niet bereikt|no contesta|pas de reponse|injoignable|nie odebral"
)
"""Outcomes of a customer who was not reached."""
OBJECTS_NAME = re.compile(
    r"do ?not ?(?:contact|call|mail|disturb|market)|\bdnc\b|\bopt(?:ed)? ?outs?\b|\boptout"
    r"|\bobject(?:s|ed|ion)?\b"
    r"|\bno ?(?:contact|marketing|calls?|mails?|mailings?|advertising|ads)\b"
    r"|widerspr|werbesperre|kontaktsperre|\bkeine? (?:werbung|kontakt|anruf|mail|marketing)"
    r"|nicht (?:kontaktieren|anrufen)|robinson"
)
AGREES_NAME = re.compile(
    r"consent|\bopt(?:ed)? ?ins?\b|\boptin|permission|contactable|\bmay (?:contact|call|mail)"
    r"|(?:marketing|contact|mailing|mail|call)s? (?:ok|allowed|agreed)\b"
    r"|einwilligung|zustimmung|eingewilligt|(?:werbung|kontakt|marketing) (?:erlaubt|ok)"
    r"|werbeerlaubnis"
)
WITHDRAWN_NAME = re.compile(
    r"\b(?:no|not|non|without|withdrawn|revoked|refused|missing|kein|keine|ohne|nicht)\b"
    r"|widerruf|verweiger|entzogen"
)

CUSTOMER_NAME = re.compile(
    rf"\b(?:{'|'.join(sorted(PEOPLE))})|kunde|mitglied|nutzer|teilnehmer|abonnent|haushalt"
    r"|\bkonto|patient|spieler|mieter|spender|donor|donator|buyer|payer|kaeufer|kaufer"
)
"""A column that identifies a customer, by name."""
NUMBER_NAME = re.compile(
    r"\b(?:id|ids|key|uuid|guid|uid|no|nr|num|number|code|nummer|schluessel|schlussel|beleg)\b"
    r"|nummer|\bid$|[a-z]id$|[a-z]nr$"
)
"""A column that identifies something, by name."""
EVENT_TIME_NAME = re.compile(
    r"\b(?:paid|ordered|purchased|bought|visited|happened|occurred|logged|played|donated|used"
    r"|event|transaction|purchase|payment|order|visit|invoice|login|date|datum|day|tag|time"
    r"|timestamp|zeit|zeitpunkt|zeitstempel|when|am|at|on)\b|datum|bezahlt|gezahlt|gekauft|zeit"
)
"""When an event happened, by name."""
NO_EVENT_TIME_NAME = re.compile(
    r"\b(?:birth|birthday|born|dob|valid|next|due|planned|expires?|expiry|until|end|joined|signup"
    r"|registered|since|renewal)\b|geburt|gueltig|gultig|naechst|nachst|geplant|faellig|fallig"
    r"|\bbis\b|\bseit\b|eintritt|ablauf"
)
"""Dates of a log that are not the time of the event."""
KNOWN_TIME_NAME = re.compile(
    r"\b(?:known|booked|loaded|imported|inserted|recorded|received|ingested|synced|created"
    r"|updated|modified|entered|posted|settled)\b"
    r"|gebucht|buchung|erfasst|importiert|angelegt|eingegangen|erstellt|geaendert|geandert"
)
"""When an event became known, by name."""
AMOUNT_NAME = re.compile(
    r"amount|\bamt\b|price|value|total|\bsum\b|\bcosts?\b|\bfees?\b|paid|revenue|spend|sales"
    r"|turnover|charge|quantity|\bqty\b|minutes|seconds|duration|units|points|volume|dollar|euro"
    r"|betrag|summe|preis|umsatz|kosten|\bwert|brutto|netto|menge|anzahl|stueck|stuck|minuten"
    r"|dauer|punkte|gebuehr|gebuhr|\bnumber of|\bnum\b|\bcount\b"
)
"""A number of an event that can be summed, by name."""
MONEY_NAME = re.compile(
    r"amount|\bamt\b|price|value|total|\bcosts?\b|\bfees?\b|paid|revenue|spend|sales|turnover"
    r"|charge|dollar|euro|betrag|summe|preis|umsatz|kosten|\bwert|brutto|netto|gebuehr|gebuhr"
)
"""An amount of money, by name."""
NO_AMOUNT_NAME = re.compile(
    r"\b(?:lat|lon|lng|latitude|longitude|zip|plz|postal|postcode|year|jahr|month|monat|hour"
    r"|version|rate|percent|pct|ratio|age|alter)\b"
)
"""Numbers whose sum means nothing, by name."""


def valid_name(header: str, fallback: str = "column") -> str:
    """The header as a name: itself where it is one, else in small letters with underscores."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", header):
        return header
    plain = unicodedata.normalize("NFKD", header.casefold()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if name[:1].isalpha():
        return name
    return f"{fallback}_{name}".rstrip("_")


def free_name(wanted: str, table: str, taken: set[str]) -> str:
    """`wanted`, prefixed by the table and then numbered if it is reserved or taken; added to
    `taken`.

    Case does not make another name: the lake's SQL ignores it.
    """
    numbered = (f"{table}_{wanted}_{n}" for n in count(2))
    for name in chain([wanted, f"{table}_{wanted}"], numbered):
        if name.lower() not in taken and name.lower() not in RESERVED:
            break
    taken.add(name.lower())
    return name


def tokens(name: str) -> list[str]:
    """The words of a name in small letters: at underscores, blanks and changes of case."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word]


def plain_words(name: str) -> str:
    """The name as a person would say it: "late_orders_90d" is "late orders in 90 days"."""
    words, window = _without_window(name)
    plain = " ".join([*(SHORT.get(word, word) for word in words), *window])
    return plain.replace(" of of ", " of ")


def spoken(text: str) -> str:
    """A name or a value in small ASCII letters with single blanks: "noAnswer" is "no answer"."""
    marked = text.replace("ß", "ss")
    plain = unicodedata.normalize("NFKD", marked).encode("ascii", "ignore").decode()
    return " ".join(tokens(plain))


def speaks_of_objection(name: str) -> bool | None:
    """Whether a yes in a column of this name means that the customer does not want to be
    contacted; false if it means that the customer agrees, None if it is about neither.
    """
    words = spoken(name)
    if AGREES_NAME.search(words):
        return bool(WITHDRAWN_NAME.search(AGREES_NAME.sub(" ", words)))
    objects = OBJECTS_NAME.search(words)
    if objects is None:
        return None
    return not WITHDRAWN_NAME.search(f"{words[: objects.start()]} {words[objects.end() :]}")


def description(name: str) -> str:
    """The plain words as a description, empty if the name means nothing ("x12")."""
    words = plain_words(name)
    if re.search(r"[a-z]{3}", words):
        return words[:1].upper() + words[1:]
    return ""


def counted(name: str) -> str:
    """The phrase for something counted: "late_orders_90d" is "{value} late order{s} in 90
    days"; else "".
    """
    words, window = _without_window(name)
    words = [word for word in words if word not in COUNT_WORDS | {"of"}]
    if not words or not re.search(r"[a-z]{3,}(?<!s)s$", words[-1]):
        return ""
    if words[-1].endswith(("ies", "us", "is")):
        return ""
    return " ".join(["{value}", *words[:-1], f"{words[-1][:-1]}{{s}}", *window])


def is_count(name: str) -> bool:
    """Whether a name shows that something is counted, so 0 and 1 are only the first of its
    numbers.
    """
    words, window = _without_window(name)
    return bool(window) or bool(COUNT_WORDS & set(words))


def age_name(date: str, unit: str) -> str:
    """The name of the age of a date: "joined_date" is "days_since_joined"."""
    words = [word for word in tokens(date) if word not in DATE_WORDS]
    return "_".join([unit, "since", *(words or ["date"])])


def is_row_number(name: str) -> bool:
    """Whether a header names a row rather than a customer: none at all, "Unnamed: 0", "index",
    "row number".
    """
    words = tokens(name)
    if not words:
        return name.strip() in ("", "#")
    return words[0] == "unnamed" or set(words) <= ROW_WORDS


def key_likeness(header: str) -> int:
    """How much a header looks like the customer's key: 0 not at all, 3 most."""
    words = set(tokens(header))
    if JOINED_ID.fullmatch("".join(tokens(header))):
        return 3
    if words & IDENTIFIERS:
        if words & PEOPLE:
            return 3
        return 2
    return int(bool(words & (PEOPLE | NUMBERS)))


def label_likeness(name: str) -> int:
    """How much a column's or a table's name looks like the label's: 0 not at all."""
    return sum(LABEL_WORDS.get(word, 0) for word in tokens(name))


def names_who_stayed(name: str) -> bool:
    """Whether a label's name is about who stayed: "retained", "is_active", "not_churned"; but
    not "not_renewed".

    A word for leaving takes precedence, as in "churned_active" and "left_current_month".
    """
    words = tokens(name)
    leaving = not LEAVE_WORDS.keys().isdisjoint(words)
    staying = not leaving and not STAY_WORDS.keys().isdisjoint(words)
    negated = words[:1] == ["no"] or not NEGATIONS.isdisjoint(words)
    return staying != negated


def known_late(name: str) -> bool:
    """Whether a name shows that its values are known only after churning."""
    words = tokens(name)
    ends = bool(END_WORDS & set(words)) and bool(DATE_WORDS & set(words))
    return (
        ends
        or words[:1] == ["last"]
        or any(word in LATE_WORDS or word.startswith(LATE_STEMS) for word in words)
    )


def is_personal(name: str) -> bool:
    """Whether a name suggests that its texts identify a person."""
    words = set(tokens(name))
    return bool(words & PERSONAL_WORDS) or ("name" in words and bool(words & (WHOSE_NAME | PEOPLE)))


def is_value(name: str) -> bool:
    """Whether a name looks like what a customer is worth, or costs."""
    return bool(set(tokens(name)) & (VALUE_WORDS))


def may_be_date(name: str) -> bool:
    """Whether a name suggests a date, so its numbers may be days or seconds."""
    return bool(set(tokens(name)) & DATE_HINTS)


def is_number(name: str) -> bool:
    """Whether a name suggests a number that is not a date."""
    words = set(tokens(name))
    return bool(words & NUMBER_HINTS) and not words & CERTAIN_DATES


def is_needless(name: str) -> bool:
    """Whether a name looks like the cost of contacting a customer who would have stayed."""
    return bool(set(tokens(name)) & {"fp", "contact", "needless"})


def _without_window(name: str) -> tuple[list[str], list[str]]:
    """The words of a name, and those of the window at its end: ["in", "90", "days"]."""
    words = tokens(name)
    found = re.fullmatch(r"([0-9]+)([dwmy])", words[-1]) if words[1:] else None
    if found is None:
        return words, []
    number, unit = found.groups()
    return words[:-1], ["in", *text.counted(int(number), WINDOW_UNITS[unit]).split()]
