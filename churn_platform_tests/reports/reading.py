"""Reads the pages of a monthly report as a person and as a parser would."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "line", "circle", "polyline", "hr", "input"}


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    parent: "Element | None"
    parts: list["str | Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of its text, with spaces as a reader sees them."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> list[str]:
        return [p if isinstance(p, str) else "".join(p._texts()) for p in self.parts]

    def all(self) -> list["Element"]:
        """The elements in it, in order."""
        found = []
        for part in self.parts:
            if isinstance(part, Element):
                found += [part, *part.all()]
        return found

    def having(self, attribute: str) -> list["Element"]:
        """The elements in it with an attribute."""
        return [one for one in self.all() if attribute in one.attributes]

    @property
    def sources(self) -> dict[str, str]:
        """Record -> digest, of the nearest element that names them."""
        one: Element | None = self
        while one is not None:
            if "data-sources" in one.attributes:
                pairs = one.attributes["data-sources"].split()
                return dict(pair.rsplit("@", 1) for pair in pairs)
            one = one.parent
        return {}


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root", {}, None)
        self.now = self.root

    def handle_starttag(self, tag, attrs):
        found = Element(tag, {name: value or "" for name, value in attrs}, self.now)
        self.now.parts.append(found)
        if tag not in VOID:
            self.now = found

    def handle_startendtag(self, tag, attrs):
        self.now.parts.append(Element(tag, {n: v or "" for n, v in attrs}, self.now))

    def handle_endtag(self, tag):
        assert tag == self.now.tag, f"</{tag}> closes <{self.now.tag}>"
        self.now = self.now.parent

    def handle_data(self, data):
        self.now.parts.append(data)


def read(html: str) -> Element:
    """The page; raises where an element is not closed as it should be."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    assert parser.now is parser.root, f"<{parser.now.tag}> is not closed"
    return parser.root


def body(html: str) -> Element:
    """The body of a page."""
    return next(one for one in read(html).all() if one.tag == "body")


def answers(html: str) -> dict[str, str]:
    """Question -> what the page answers."""
    sections = [one for one in body(html).all() if one.tag == "section"]
    return {next(part.text for part in one.all() if part.tag == "h2"): one.text for one in sections}
