"""Make pages that need no network.

The script of a page that opens from disk only sorts tables and switches between panels, so nothing
is lost where scripts do not run. Jinja escapes what comes from data, and a content security policy
admits no script but the page's own.
"""

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

from goemotions.errors import UserError

HERE = Path(__file__).parent


def page(template: str, script: str = "page.js", **values: Any) -> str:
    """A page as text.

    Args:
        template, script: files of this folder.
        values: what the template shows.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    code = (HERE / script).read_text(encoding="utf-8")
    return templates.get_template(template).render(
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=code,
        digest=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
        **values,
    )


def check(path: Path) -> None:
    """Raise UserError where a page cannot be written to `path`, since that is no file."""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise UserError(f"--html is {str(path)!r}, which is {kind}; name a file")


def write(path: Path, template: str, **values: Any) -> None:
    """Write a page, completely or not at all.

    Args:
        path: the page; its folder is created.
        template, values: as of `page`.

    Raises:
        UserError: the file cannot be written.
    """
    check(path)
    html = page(template, **values)
    path = path.resolve() if path.is_symlink() else path  # the link stays
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(html, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        if path.parent.is_dir():
            draft.unlink(missing_ok=True)
        raise UserError(f"--html: cannot write {path}: {error.strerror}") from None
