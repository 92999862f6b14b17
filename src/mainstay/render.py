"""Templates to text: strict, offline, the same for the same input on every machine."""

from __future__ import annotations

import shlex
from functools import lru_cache
from typing import Any

import jinja2

from mainstay import project
from mainstay.errors import InventoryError, Problem


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader([str(path) for path in project.template_dirs()])
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # These are configuration files, not HTML: quoting is each format's own, by a filter.
        autoescape=False,  # noqa: S701
    )
    environment.filters["shell"] = shlex.quote
    return environment


def render(template: str, /, **values: Any) -> str:
    """The text of `templates/<template>` with `values` in place.

    Args:
        template: a path below `templates/`, for example `nginx/site.conf.j2`.
        values: what the template names; secrets print as `<secret NAME@version>`.

    Raises:
        InventoryError: the template is missing, does not parse, or names a value that nothing defines.
    """
    try:
        return _environment().get_template(template).render(**values)
    except jinja2.TemplateNotFound as error:
        raise _problem(template, "", f"no template {error.name}", "a file below templates/") from error
    except jinja2.TemplateSyntaxError as error:
        raise _problem(error.name or template, f"line {error.lineno}", str(error.message), "a template") from error
    except jinja2.UndefinedError as error:
        raise _problem(template, "", str(error.message), "a value for every name in the template") from error


def _problem(template: str, key: str, found: str, expected: str) -> InventoryError:
    return InventoryError([Problem(f"templates/{template}", key, found, expected)])
