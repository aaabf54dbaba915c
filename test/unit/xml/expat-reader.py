"""Reads base64 documents, one a line; answers each with a line of JSON: what Expat makes of it.

{"error": null or Expat's words, "stanzas": the trees of the complete elements inside the root}
"""

import base64
import json
import sys
from xml.parsers import expat

SEPARATOR = "\x01"


def split(name):
    namespace, _, local = name.rpartition(SEPARATOR)
    return namespace, local


def read(document, final):
    parser = expat.ParserCreate(namespace_separator=SEPARATOR)
    parser.buffer_text = True
    stack = []
    stanzas = []

    def start(name, attributes):
        listed = sorted([*split(n), v] for n, v in attributes.items())
        stack.append([*split(name), listed, []])

    def end(_):
        element = stack.pop()
        if len(stack) == 1:
            stanzas.append(element)
        elif stack:
            stack[-1][3].append(element)

    def text(value):
        if len(stack) < 2:
            return
        children = stack[-1][3]
        if children and isinstance(children[-1], str):
            children[-1] += value
        else:
            children.append(value)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    error = None
    try:
        parser.Parse(document, final)
    except (expat.ExpatError, LookupError, ValueError) as e:
        error = str(e)
    return {"error": error, "stanzas": stanzas}


for line in sys.stdin:
    encoded, final = line.split()
    print(json.dumps(read(base64.b64decode(encoded), final == "final")), flush=True)
