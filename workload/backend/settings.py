"""The service's settings: environment variables, all of them checked before the first request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from build_info import ROLE

MIN_JWT_CHARS = 32


class SettingsError(Exception):
    """A variable is missing or wrong; the message is one sentence and never holds a value."""


@dataclass(frozen=True)
class Settings:
    """What the code below `main` needs.

    `database` is what libpq is to be told besides its own variables (PGHOST ...), None where nothing names a database;
    `redis_url` and `redis_host` are empty where nothing names a cache: such a service does not use one.
    """

    environment: str
    debug: bool
    database: str | None
    redis_url: str
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
    """The variables that must be set: those of `.env.example` beside this file, where the release brings one."""
    example = Path(__file__).with_name(".env.example")
    text = example.read_text() if example.exists() else ""
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
    if keys and len(keys[0]) < MIN_JWT_CHARS:
        raise SettingsError(f"JWT_SECRET_KEY has {len(keys[0])} characters, expected {MIN_JWT_CHARS} or more")
    debug = _boolean(environ, "APP_DEBUG")
    environment = environ.get("APP_ENV", "")
    if debug and environment == "production":
        raise SettingsError("APP_DEBUG is true in production, expected false")
    _model(environ)
    return Settings(
        environment=environment,
        debug=debug,
        database=_database(environ),
        redis_url=environ.get("REDIS_URL", ""),
        redis_host=environ.get("REDIS_HOST", ""),
        redis_port=_integer(environ, "REDIS_PORT", 6379),
        redis_username=environ.get("REDIS_USERNAME", "default"),
        redis_password=environ.get("REDIS_PASSWORD", ""),
        redis_db=_integer(environ, "REDIS_DB", 0),
        redis_ssl=_boolean(environ, "REDIS_SSL"),
        jwt_keys=keys,
        token_minutes=_integer(environ, "JWT_ACCESS_TOKEN_EXPIRE_MINUTES", 1440),
        pool_size=_integer(environ, "DB_POOL_SIZE", 2),
        log_level=environ.get("LOG_LEVEL", "DEBUG" if debug else "INFO"),
    )


def _database(environ: Mapping[str, str]) -> str | None:
    """A connection string for what libpq does not read by itself: DATABASE_URL, POSTGRES_HOST ..., DB_HOST ..."""
    if environ.get("DATABASE_URL"):
        return environ["DATABASE_URL"]
    for prefix, name in (("POSTGRES_", "DB"), ("DB_", "NAME")):
        if environ.get(f"{prefix}HOST"):
            keys = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": name}
            given = {key: environ.get(f"{prefix}{end}", "") for key, end in keys.items()}
            return " ".join(f"{key}='{_escaped(value)}'" for key, value in given.items() if value)
    return "" if environ.get("PGHOST") else None


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _model(environ: Mapping[str, str]) -> None:
    """A service of the role `ml` is nothing without its model: better no start than wrong answers."""
    if ROLE != "ml":
        return
    path = environ.get("MODEL_PATH", "")
    if not path:
        raise SettingsError("not set: MODEL_PATH")
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as model:
            model.read(1)
    except OSError as error:
        raise SettingsError(f"model {path}: {(error.strerror or 'unreadable').lower()}, expected a file") from None
    if size == 0:
        raise SettingsError(f"model {path}: found an empty file")


def _integer(environ: Mapping[str, str], name: str, otherwise: int) -> int:
    try:
        return int(environ[name]) if name in environ else otherwise
    except ValueError:
        raise SettingsError(f"{name} is no whole number") from None


def _boolean(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "false")
    if value not in ("true", "false"):
        raise SettingsError(f"{name} is neither true nor false")
    return value == "true"
