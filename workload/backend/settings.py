"""The service's settings: environment variables, all of them checked before the first request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MIN_JWT_CHARS = 32


class SettingsError(Exception):
    """A variable is missing or wrong; the message is one sentence and never holds a value."""


@dataclass(frozen=True)
class Settings:
    """What the code below `main` needs; PostgreSQL's own variables (PGHOST ...) are read by libpq itself."""

    environment: str
    debug: bool
    redis_host: str
    redis_port: int
    redis_username: str
    redis_password: str
    redis_db: int
    redis_ssl: bool
    jwt_keys: tuple[str, ...]
    token_minutes: int
    pool_size: int
    log_level: str


def required_names() -> list[str]:
    """The variables that must be set: those of `.env.example` beside this file."""
    text = Path(__file__).with_name(".env.example").read_text()
    lines = (line.partition("=")[0].strip() for line in text.splitlines())
    return [name for name in lines if name and not name.startswith("#")]


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads and checks the variables.

    Raises:
        SettingsError: some are missing, or one has the wrong form.
    """
    missing = [name for name in required_names() if not environ.get(name)]
    if missing:
        raise SettingsError(f"not set: {', '.join(missing)}")
    keys = tuple(environ[name] for name in ("JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS") if environ.get(name))
    if len(keys[0]) < MIN_JWT_CHARS:
        raise SettingsError(f"JWT_SECRET_KEY has {len(keys[0])} characters, expected {MIN_JWT_CHARS} or more")
    debug = _boolean(environ, "APP_DEBUG")
    if debug and environ["APP_ENV"] == "production":
        raise SettingsError("APP_DEBUG is true in production, expected false")
    return Settings(
        environment=environ["APP_ENV"],
        debug=debug,
        redis_host=environ["REDIS_HOST"],
        redis_port=_integer(environ, "REDIS_PORT"),
        redis_username=environ.get("REDIS_USERNAME", "default"),
        redis_password=environ["REDIS_PASSWORD"],
        redis_db=_integer(environ, "REDIS_DB"),
        redis_ssl=_boolean(environ, "REDIS_SSL"),
        jwt_keys=keys,
        token_minutes=_integer(environ, "JWT_ACCESS_TOKEN_EXPIRE_MINUTES"),
        pool_size=_integer(environ, "DB_POOL_SIZE") if "DB_POOL_SIZE" in environ else 2,
        log_level=environ.get("LOG_LEVEL", "DEBUG" if debug else "INFO"),
    )


def _integer(environ: Mapping[str, str], name: str) -> int:
    try:
        return int(environ[name])
    except ValueError:
        raise SettingsError(f"{name} is no whole number") from None


def _boolean(environ: Mapping[str, str], name: str) -> bool:
    if environ[name] not in ("true", "false"):
        raise SettingsError(f"{name} is neither true nor false")
    return environ[name] == "true"
