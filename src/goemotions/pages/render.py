"""Write a page that needs no network and opens from disk.

The pages' one script only sorts tables and switches between panels, so nothing is lost where
scripts do not run. Jinja escapes what comes from data, and a content security policy admits no
script but this one.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from goemotions.errors import UserError

HERE = Path(__file__).parent


def write(path: Path, template: str, **values: Any) -> None:
    """Write a page, completely or not at all.

    Args:
        path: the page; its folder is created.
        template: a file of this folder.
        values: what the template shows.

    Raises:
        UserError: the file cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (HERE / "page.js").read_text(encoding="utf-8")
    html = templates.get_template(template).render(
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(html, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        if path.parent.is_dir():
            draft.unlink(missing_ok=True)
        raise UserError(f"--html: cannot write {path}: {error.strerror}") from None
