"""What every page for people has to be, checked in its HTML: structure, names, labels, and nothing that runs inline."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import httpx

_VOID = frozenset({"meta", "link", "input", "img", "br", "hr", "source"})
_NAMED = frozenset({"a", "button"})
_LABELLED = frozenset({"input", "select", "textarea", "progress"})


class Page(HTMLParser):
    """A page that was read: its elements with their attributes, and what is wrong with it in `problems`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.problems = text, []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self._headings: list[int] = []
        self.feed(text)
        self.close()
        self.problems += [f"{tag} is not closed" for tag, *_ in self._open]
        self._check()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if len(named) < len(attrs):
            self.problems.append(f"{tag} has an attribute twice")
        self.elements.append((tag, named))
        if tag == "img" and self._open:
            self._say(named.get("alt", ""))
        if tag not in _VOID:
            self._open.append((tag, named, []))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            self.problems.append(f"{tag} ends where it does not begin")
            return
        _, named, words = self._open.pop()
        text = "".join(words).strip()
        if tag in _NAMED and not (text or named.get("aria-label")):
            self.problems.append(f"{tag} {named} has no name")
        if tag in ("h1", "h2", "title", "label") and not text:
            self.problems.append(f"{tag} is empty")

    def handle_data(self, data: str) -> None:
        self._say(data)

    def _say(self, words: str) -> None:
        for _, _, heard in self._open:
            heard.append(words)

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of the name."""
        return [named for found, named in self.elements if found == tag]

    def links(self) -> list[str]:
        """Where links lead."""
        return [named["href"] for named in self.all("a")]

    def _check(self) -> None:
        for tag in ("h1", "main", "header", "title"):
            if len(self.all(tag)) != 1:
                self.problems.append(f"{len(self.all(tag))} {tag}")
        if self.all("html")[0].get("lang") != "en":
            self.problems.append("the language is not told")
        if not any("skip" in named.get("class", "") and named["href"] == "#main" for named in self.all("a")):
            self.problems.append("there is no link past the header")
        self._check_ids()
        self._check_names()
        for tag, named in self.elements:
            if "style" in named or any(name.startswith("on") for name in named):
                self.problems.append(f"{tag} has a style or a handler inline")
            if tag in ("style", "base", "iframe") or (tag == "script" and "src" not in named):
                self.problems.append(f"{tag} stands in the page")

    def _check_ids(self) -> None:
        ids = Counter(named["id"] for _, named in self.elements if "id" in named)
        self.problems += [f"the id {name} comes {times} times" for name, times in ids.items() if times > 1]
        for tag, named in self.elements:
            for attribute in ("for", "aria-labelledby", "aria-describedby", "data-dialog"):
                missing = [name for name in named.get(attribute, "").split() if name not in ids]
                self.problems += [f"{attribute} of {tag} names {name}, which is not there" for name in missing]
            if named.get("href", "").startswith("#") and named["href"][1:] not in ids:
                self.problems.append(f"{named['href']} leads nowhere")

    def _check_names(self) -> None:
        labels = {named.get("for") for named in self.all("label")}
        for tag, named in self.elements:
            is_named = "aria-label" in named or "aria-labelledby" in named or named.get("id") in labels
            if tag in _LABELLED and named.get("type") != "hidden" and not is_named:
                self.problems.append(f"{tag} {named} has no label")
            if tag in ("nav", "video", "dialog") and not is_named:
                self.problems.append(f"{tag} has no name")
            if tag == "img" and "alt" not in named:
                self.problems.append(f"img {named} has no alternative text")


def page_of(answer: httpx.Response, status: int = 200) -> Page:
    """The page of an answer, once it and its headers are what they have to be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] in ("same-origin", "strict-origin-when-cross-origin")
    page = Page(answer.text)
    assert page.problems == []
    return page
