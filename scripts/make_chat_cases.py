"""Writes testdata/chat/cases.jsonl: templates, and the text that transformers makes of them.

Every case is a line {"template": ..., "text": ...} or, where transformers refuses, {"template": ...,
"refused": true}; all see the variables of testdata/chat/variables.json, messages among them. Needs a
venv with scripts/requirements.txt. Exit codes: 0; 1 with another exception's traceback.
"""
import json
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

FOLDER = Path(__file__).resolve().parent.parent / "testdata/chat"

# One feature or a few a line; where a feature's text could be told from another's by blanks alone,
# the blanks are the feature.
EXPRESSIONS = r"""
s
s|upper
s|lower ~ u|lower
s|title ~ u|capitalize
u|length
u[2] ~ u[-2] ~ u[1:4] ~ u[::-1]
t|trim ~ '|' ~ t.strip() ~ '|' ~ t.lstrip() ~ '|' ~ t.rstrip()
t.split()
t.split(' ')
t.split(' ', 1)
s.split('o', 1)[0]
s.rsplit('o', 1)
[l, none_, b, f, 1.0, 2e3, 0.1, 1e22, 1e-7, 'it\'s', "a\"b", 'c\\d', '\n\t']
d
messages
10 / 4
[7 // 2, -7 // 2, -7 % 3, 7 % -3, 2 ** 10, -2 ** 2, 2 ** 3 ** 2, 10 - 3 - 2, 2 * 3 + 4 * 5, (2 + 3) * 4]
[-n, +n, n - -1, not true, not n == 5]
l|sort
l|sort(reverse=true)
['b', 'A', 'c']|sort
['b', 'A', 'c']|sort(case_sensitive=true)
l|reverse|list
[l|first, l|last, l|max, l|min, l|sum, l|length, l|count]
l|join(',')
l|map('string')|join('-')
[1, 2, 1, 3]|unique|list
['a', 'A']|unique|list
d|dictsort|length
d|dictsort|map('join', '=')|join(' ')
d|items|map('join', '=')|join(' ')
d.keys()|list
d.values()|list
[d.get('a'), d.get('zz', 4), d.get('zz')]
d|tojson
messages|tojson
messages|tojson(indent=2)
u|tojson
[f, "a\"b\n\u00e9\x41"]|tojson
d|tojson(separators=(',', ':'))
d|tojson(sort_keys=true)
nested|tojson(indent=4)
[]|tojson(indent=2) ~ {}|tojson(indent=2)
[s is defined, q is defined, q is undefined, none_ is none, none_ is not none, q is none]
[l is iterable, s is string, d is mapping, l is sequence, n is number, b is boolean, f is float]
[n is odd, n is even, n is divisibleby 5, n is eq 5, b is true, 1 is true, n is integer, 3 is in l]
[q|default('dd'), e|default('dd', true), none_|default('x'), e|default('dd')]
q or 'or'
s and 'and'
['a' in s, 'H' in s, 3 in l, 'a' in d, 'z' not in d, not 'z' in d]
1 if b else 2
(1 if z) is defined
'a' ~ 1 ~ none_ ~ 2.0
'a' + 'b' 'c'
'ab' * 3
[1] + [2] * 2
[1 < 2 < 3, 1 < 3 < 2, 'a' < 'b', [1, 2] < [1, 3], 1 == 1.0, true == 1, 'a' != 'b', 2 >= 2]
[s.startswith('Hel'), s.endswith(('x', 'ld')), s.replace('l', 'L'), s.replace('l', 'L', 1), s.find('o')]
s|replace('o', '0')
['-'.join(['a', 'b']), 'a\nb\n'.splitlines()]
[l[0], l[-1], l[1:], l[:-1], l[::2], l[::-1], l[10:], l[-2:], l[0:0]]
l[5]
messages[-1]['role'] ~ messages[0].content
messages|selectattr('role', 'equalto', 'user')|list
messages|rejectattr('role', 'equalto', 'user')|map(attribute='role')|join(',')
l|select('odd')|list
l|reject('odd')|list
none|selectattr('x')|list
messages|selectattr('tool_calls')|list|length
messages|selectattr('tool_calls', 'defined')|list|length
range(3)|list + range(1, 4)|list + range(4, 0, -2)|list
'a\nb\n\nc'|indent(2)
'a\nb\n\nc'|indent(2, true, true)
['12'|int, 'x'|int, '3.7'|int, 3.7|int, '2.5'|float, 2|float, -3|abs, 2.567|round(2), 2.5|round]
{'a': {'b': 2}}.a.b
nested.k.j[1].q ~ nested['k']['j'][1]['q']
[nested.k.zz is defined, l.foo is defined, none_.x is defined, s.foo is defined]
1 + 2|string|length
(1 + 2)|string
'<b>'|escape
raise_exception('no')
q.x
1 + 'a'
s|nosuchfilter
s is nosuchtest
nosuchfunction()
1 / 0
l + s
""".strip().split("\n")

TEMPLATES = [
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}"
    "{{ loop.length }}{{ loop.revindex }}{{ m.role }}{{ m['content'] }};{% endfor %}",
    "{% for m in messages if m.role != 'user' %}{{ loop.index }}{{ m.role }}{% else %}none{% endfor %}",
    "{% for x in [] %}a{% else %}empty{% endfor %}",
    "{% for a, b in d.items() %}{{ a }}={{ b }}{{ ',' if not loop.last }}{% endfor %}",
    "{% set ns = namespace(found=false, n=0) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.found = true %}{% endif %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.found }}{{ ns.n }}",
    "{% macro f(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}"
    "{{ f(1) }}{{ f(1, c=3) }}{{ f(1, 2, 3) }}{{ f() }}",
    "{% set x %}a {{ s }} b{% endset %}{{ x|upper }}",
    "{% set a, b = 1, 2 %}{{ a + b }}",
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}",
    "{% if z %}a{% elif n > 3 %}b{% else %}c{% endif %}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}"
    "{% endif %}{{ i }}{% endfor %}",
    "{% generation %}gen {{ s }}{% endgeneration %}",
    "{% for c in 'ab\U0001f600' %}{{ c }}.{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
    "{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined }}>"
    "{{ loop.nextitem.role if loop.nextitem is defined }};{{ loop.cycle('x', 'y') }}{% endfor %}",
    "{{ '{{' }}{{ '}}' }}{{ {'a': {'b': {}}} }}",
    # Blanks.
    "  {% if b %}\n  yes\n  {% endif %}\nx\n  {%- if b -%}\n   y\n  {%- endif -%}\n   z\n",
    "a\n\n{% if b %}\n\nx\n\n{% endif %}\n\nq\n\n",
    "{# c #}\nx\n  {# d #}\n y {# e -#}  \n z",
    "{{ s -}}   \n x  {{- s }}",
    "a\r\nb\r\n{% if b %}\r\nc{% endif %}\r\n",
    "\n\n{% set x = 1 %}\n\n{{ x }}",
    "{%- raw -%}  {{ a }}  {%- endraw -%}  b",
    "{% raw %}\n x {% endraw %}\n y {% raw %}{% if %}{{{% endraw %}",
    "  {%+ if b %}x{% endif +%}\ny",
    "a\n   {# c #}   b\n{%+ if b %} k {%+ endif %} m",
    # Whole ones, of the three kinds that are usual.
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] +"
    " '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "{%- if messages[0].role == 'system' -%}\n    {%- set system = messages[0].content -%}\n"
    "    {%- set rest = messages[1:] -%}\n{%- else -%}\n    {%- set rest = messages -%}\n{%- endif -%}\n"
    "{%- for m in rest -%}\n    {%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}\n"
    "        {{- raise_exception('roles must alternate') -}}\n    {%- endif -%}\n"
    "    {%- if m.role == 'user' -%}\n"
    "        {{- bos_token + '[INST] ' + (system + '\\n\\n' if loop.first and system is defined else '')"
    " + m.content|trim + ' [/INST]' -}}\n"
    "    {%- else -%}\n        {{- ' ' + m.content|trim + eos_token -}}\n    {%- endif -%}\n"
    "{%- endfor -%}\n",
    "{{ bos_token }}\n{%- for m in messages %}\n<{{ m.role }}>{{ m.content|trim }}</{{ m.role }}>\n"
    "{%- if m.tool_calls is defined %}\n{%- for call in m.tool_calls %}\n"
    "<tool>{{ call.function.arguments|tojson }}</tool>\n{%- endfor %}\n{%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt and not enable_thinking|default(true) %}\n<assistant><quiet>\n{%- endif %}",
    # What is no template.
    "{% if b %}", "{% endif %}", "{{ s", "{% for %}{% endfor %}", "{{ 'a }}", "{# a", "{{ s | }}",
    "{{ }}", "{% set %}", "{{ [1, }}", "{% nosuchtag %}", "{{ 1 2 }}", "{% break %}",
]


def rendered(template, variables):
    try:
        texts, _ = render_jinja_template([variables["messages"]], chat_template=template,
                                         **{k: v for k, v in variables.items() if k != "messages"})
    except Exception:  # pylint: disable=broad-except
        return {"template": template, "refused": True}
    return {"template": template, "text": texts[0]}


def main():
    variables = json.loads((FOLDER / "variables.json").read_text(encoding="utf-8"))
    templates = ["{{ " + expression + " }}" for expression in EXPRESSIONS] + TEMPLATES
    lines = [json.dumps(rendered(t, variables), ensure_ascii=False) + "\n" for t in templates]
    (FOLDER / "cases.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
