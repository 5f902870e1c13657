"""A matplotlib SVG made fit to stand inside a page.

The page's Content-Security-Policy allows no style attribute, so styles become attributes of their
own; colours become classes, so that light, dark and print have their own; ids get a prefix, so that
many figures stand in one page; the font is the page's.
"""

import re
from xml.etree import ElementTree

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
COLOURS = {
    "#1b1f24": "ink",
    "#5b6470": "muted",
    "#d9dee4": "rule",
    "#ffffff": "paper",
    "#2563a8": "one",
    "#b0500a": "two",
    "#1d7a53": "three",
    "#8a4aa3": "four",
    "#b3261e": "bad",
    "#1a7f4b": "good",
}
"""The colours a figure may use, and what the page's style sheet calls them."""
KEPT = {
    "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-linecap",
    "stroke-linejoin", "stroke-dasharray", "stroke-dashoffset", "opacity", "text-anchor", "font-size",
    "font-weight",
}  # fmt: skip
DROPPED = {"font", "font-family", "font-style", "stroke-miterlimit", "font-stretch", "font-variant"}
POINT = 4 / 3
"""CSS pixels of a point."""


class Unfit(ValueError):
    """A figure uses a style or a colour that the page has no place for."""


def inline(data: bytes, prefix: str, title: str, alt: str, least: int = 0) -> str:
    """The SVG as part of an HTML page.

    prefix  begins every id; must differ between the figures of a page
    title, alt  name and description for readers who cannot see it
    least  below so many CSS pixels it is scrolled, not shrunk
    Raises Unfit for a colour outside COLOURS or a style outside KEPT.
    """
    root = ElementTree.fromstring(data)
    named = {one for node in root.iter() for one in _references(node)}
    for node in list(root.iter()):
        _restyle(node)
        if (own := node.attrib.pop("id", "")) and own in named:
            node.set("id", prefix + own)
        for key, value in list(node.attrib.items()):
            if key == f"{{{XLINK}}}href":
                del node.attrib[key]
                node.set("href", f"#{prefix}{value[1:]}")
            elif "url(#" in value:
                node.set(key, value.replace("url(#", f"url(#{prefix}"))
        for child in list(node):
            if _local(child) in ("metadata", "style"):
                node.remove(child)
    width, height = (float(one) for one in root.get("viewBox", "0 0 0 0").split()[2:])
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("width", f"{width * POINT:.0f}")
    root.set("height", f"{height * POINT:.0f}")
    if least:
        root.set("class", f"least-{least}")
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}title {prefix}alt")
    for place, (tag, text) in enumerate((("title", title), ("desc", alt))):
        one = ElementTree.Element(f"{{{SVG}}}{tag}", {"id": prefix + ("title", "alt")[place]})
        one.text = text
        root.insert(place, one)
    ElementTree.register_namespace("", SVG)
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, "unicode"))


def _local(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def _references(node: ElementTree.Element) -> list[str]:
    names = []
    for key, value in node.attrib.items():
        if key == f"{{{XLINK}}}href":
            names.append(value[1:])
        names += re.findall(r"url\(#([^)]+)\)", value)
    return names


def _restyle(node: ElementTree.Element) -> None:
    """Styles as attributes, colours as classes."""
    attributes = dict(node.attrib)
    for part in node.attrib.pop("style", "").split(";"):
        key, _, value = (one.strip() for one in part.partition(":"))
        if key == "font" and (size := re.search(r"([\d.]+)px", value)):
            attributes["font-size"] = size.group(1)
            if value.startswith(("bold", "600", "700")):
                attributes["font-weight"] = "bold"
        elif key in KEPT:
            attributes[key] = value.removesuffix("px")
        elif key and key not in DROPPED:
            raise Unfit(f"style {key}: {value}")
    classes = []
    for key in ("fill", "stroke"):
        colour = attributes.get(key, "")
        if colour.startswith("#"):
            if colour not in COLOURS:
                raise Unfit(f"colour {colour}")
            classes.append(f"{key}-{COLOURS[colour]}")
            del attributes[key]
    if _local(node) == "text" and not any(one.startswith("fill-") for one in classes):
        classes.append("fill-ink")
    node.attrib.pop("fill", None), node.attrib.pop("stroke", None)
    for key, value in attributes.items():
        if key != "style":
            node.set(key, value)
    if classes:
        node.set("class", " ".join(classes))
