"""Write the repository's address wherever it stands, from its one place, `Repository` in pyproject.toml: `make badges`.

The setup cell of every notebook (what Colab clones), the open-in-Colab badge under every notebook's title, the README's table.

python -m tools.badges [--check]     --check writes nothing, and fails if something is out of step
"""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLAB = "https://colab.research.google.com/github"
BADGE = re.compile(r"\n\[!\[Open in Colab\][^\n]*\n")
LINK = re.compile(r"(\]\(notebooks/(\d\d_\w+)\.ipynb\))( \(\[Colab\]\([^)]*\)\))?(?= \|)")


def repository_address(root=ROOT):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def colab_address(address, name):
    """Where Colab opens the notebook `name`."""
    return f"{COLAB}/{address.removeprefix('https://github.com/')}/blob/main/notebooks/{name}.ipynb"


def with_badge(source, address, name):
    """A notebook's first cell with the badge below its title and its description."""
    badge = f"[![Open in Colab](../docs/open-in-colab.svg)]({colab_address(address, name)})"
    title, description, rest = re.match(
        r"(# [^\n]+\n)\s*(> [^\n]+\n)\s*(.*)", BADGE.sub("", source), re.DOTALL
    ).groups()
    return f"{title}\n{description}\n{badge}\n\n{rest}"


def with_address(setup, address):
    """The setup cell, cloning from `address` into a folder of the repository's name."""
    setup = re.sub(r'"https://github\.com/[^"]+"', f'"{address}"', setup)
    return re.sub(r'(Path\(|here / )"[\w.-]+"', rf'\1"{address.split("/")[-1]}"', setup)


def notebook_text(path, address):
    """The text of a notebook file with the badge and the address in their places."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    setup = next(cell for cell in cells if cell["cell_type"] == "code")
    for cell, text in (
        (cells[0], with_badge("".join(cells[0]["source"]), address, path.stem)),
        (setup, with_address("".join(setup["source"]), address)),
    ):
        cell["source"] = text.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def readme_text(path, address):
    """The README with a Colab link beside every notebook of its table."""
    text = path.read_text(encoding="utf-8")
    return LINK.sub(lambda match: f"{match[1]} ([Colab]({colab_address(address, match[2])}))", text)


def texts(root=ROOT):
    """What every file with the address should hold, by path."""
    address = repository_address(root)
    found = {path: notebook_text(path, address) for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
    return found | {root / "README.md": readme_text(root / "README.md", address)}


def main():
    changed = {path: text for path, text in texts().items() if path.read_text(encoding="utf-8") != text}
    for path, text in changed.items():
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'out of step' if '--check' in sys.argv else 'written'}")
    sys.exit(bool(changed) and "--check" in sys.argv)


if __name__ == "__main__":
    main()
