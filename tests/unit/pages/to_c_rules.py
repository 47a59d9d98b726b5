"""The script that turns pages into C: its output for a page, and its refusals.

    to_c_rules.py <cmake> <edge/pages/to_c.cmake>"""
import os
import subprocess
import sys
import tempfile

PAGE = """<title>{{title}}</title>
  <!-- A note. -->
  <link rel="stylesheet" href="a.css">
  <!--{{if more}}--><p class="{{kind}}">{{more|break}}</p><!--{{end}}-->
<script nonce="{{nonce}}" src="a.js"></script>
"""
MADE = r'''    MARKUP("<title>"),
    VALUE(TEMPLATE_VALUE, a, title),
    MARKUP("</title>\n"
    "<style>a{b:c}@media(d:e){f,g{h:i j}}</style>\n"
    ""),
    VALUE(TEMPLATE_IF, a, more),
    MARKUP("<p class=\""),
    VALUE(TEMPLATE_VALUE, a, kind),
    MARKUP("\">"),
    VALUE(TEMPLATE_BREAKABLE, a, more),
    MARKUP("</p>"),
    {.kind = TEMPLATE_END},
    MARKUP("\n"
    "<script nonce=\""),
    VALUE(TEMPLATE_VALUE, a, nonce),
    MARKUP("\">a(\'\\[x];\', {{}}, b \?\? \"c\");\n"
    "d();\n"
    "</script>\n"
    ""),
'''.replace("\\'", "'")
FILES = {
    "a.css": "/* a: note */\na {\n    b: c;\n}\n\n/* another */\n@media(d: e) {\n    f,\n    g {\n        h: i j;\n    }\n}\n",
    "a.js": "// A note.\na('\\[x];', {{}}, b ?? \"c\");\n    // Another.\n\n    d();\n",
}
REFUSED = {
    "{{if a}}x": "an {{if}} without its {{end}}",
    "{{if a}}{{if b}}{{end}}{{end}}": "is no mark",
    "{{end}}": "is no mark",
    "{{a b}}": "is no mark",
    "{{A}}": "is no mark",
    "{{a": "a {{ without its }}",
    "<!-- a > b -->": "a comment has a '>' in it",
    '<script src="https://a.example/b.js"></script>': "name a file of this folder",
    '<link rel="stylesheet" href="../a.css">': "name a file of this folder",
}


def run(page):
    """The script's result for one page, and the C file."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**FILES, "a.html": page}.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        made = subprocess.run([sys.argv[1], f"-DPAGES={folder}", f"-DOUT={folder}", "-P", sys.argv[2]], capture_output=True, text=True)
        out = os.path.join(folder, "page_templates.c")
        if not os.path.exists(out):
            return made, ""
        with open(out, encoding="utf-8") as file:
            return made, file.read()


def main():
    made, code = run(PAGE)
    assert made.returncode == 0, made.stderr
    assert MADE in code, code
    for page, reason in REFUSED.items():
        made, code = run(page)
        assert made.returncode != 0 and not code, page
        assert reason in " ".join(made.stderr.split()), (page, made.stderr)
    print(f"ok: a page, and {len(REFUSED)} that are refused")


if __name__ == "__main__":
    main()
