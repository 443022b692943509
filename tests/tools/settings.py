#!/usr/bin/env python3
"""settings.py - settings of a relay: name, default, least and most a line.

    settings.py page PAGE	as a manual page has them
    settings.py source FILE	as lib/relay/config.c has them
"""
import re
import sys


def size(text):
    m = re.match(r'(\d+)([KMG]?)$', text)
    return int(m.group(1)) << {'': 0, 'K': 10, 'M': 20, 'G': 30}[m.group(2)]


def page(text):
    keys = text.split('.Sh KEYS\n')[1]
    for m in re.finditer(r'^\.It Cm (\w+)'
                         r'(?: Pq (\w+); (\w+) (?:to (\w+)|or more))?$',
                         keys, re.M):
        yield [m.group(1)] + [size(n) for n in m.groups()[1:] if n]
    for m in re.finditer(r'^\.It Cm (\w+) Pq (off|\S+/[^;\n]+)$', keys, re.M):
        yield [m.group(1), m.group(2)]


def source(text):
    table = text.split('number[] = {')[1].split('};')[0]
    for key, rest in re.findall(r'{ "(\w+)", OFFSET\(\w+\), ([^}]*) }', table):
        rest = re.sub(r'UINT64_C\((\d+)\)', r'\1', rest)
        yield [key] + [eval(n.strip(), {}) for n in rest.split(',')
                       if 'INT64_MAX' not in n]
    for row in re.findall(r'{ "(\w+)", OFFSET\(\w+\), "(.*)" }', text):
        yield row
    for key in re.findall(r'{ "(\w+)", OFFSET\(\w+\) }', text):
        yield [key]
    for key in re.findall(r'{ "(\w+)", 1, \w+ }', text):
        yield [key]


with open(sys.argv[2], encoding='utf-8') as f:
    for row in {'page': page, 'source': source}[sys.argv[1]](f.read()):
        print(*row)
