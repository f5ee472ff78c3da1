"""Where the pages get KaTeX: an installed copy, or one on the web that is pinned."""

import os
import shutil
import subprocess
from pathlib import Path

VERSION = "0.19.1"
WEB = f"https://cdn.jsdelivr.net/npm/katex@{VERSION}/dist"
INTEGRITY = {  # of these files in the npm package of that version
    "katex.min.css": "sha384-"
    "WwGtaC6ywCHxA5cstpj/3+xIZvTez8dq2IcBQaXRkenHZ7FVVq1ZROtURwfbtTlG",
    "katex.min.js": "sha384-"
    "a1WQdjRj162i159OYq041X6I4K8NenkrI09LlPmiHg0YOb7CR+wJOraXwK9abpnE",
}


def installed() -> Path | None:
    """The folder of the npm package: $KATEX, ./node_modules/katex, or a global one."""
    places = [Path("node_modules/katex")]
    if "KATEX" in os.environ:
        places.insert(0, Path(os.environ["KATEX"]))
    if npm := shutil.which("npm"):
        root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True)
        places.append(Path(root.stdout.strip()) / "katex")
    return next((p for p in places if (p / "dist/katex.min.js").is_file()), None)


def head(out: Path) -> str:
    """The lines of a page's head that load KaTeX; an installed copy is put into `out`.

    With a copy the pages show their maths without a network.
    """
    package = installed()
    if package is None:
        style, script = (
            f'{WEB}/{name}" integrity="{hash_}" crossorigin="anonymous'
            for name, hash_ in INTEGRITY.items()
        )
    else:
        (out / "katex/fonts").mkdir(parents=True, exist_ok=True)
        for name in (*INTEGRITY, *(f"fonts/{f.name}" for f in fonts(package))):
            shutil.copyfile(package / "dist" / name, out / "katex" / name)
        style, script = (f"katex/{name}" for name in INTEGRITY)
    return f"""<link rel="stylesheet" href="{style}">
<script defer src="{script}"></script>"""


def fonts(package: Path) -> list[Path]:
    """Its fonts, in the format that browsers ask for first."""
    return sorted((package / "dist/fonts").glob("*.woff2"))
