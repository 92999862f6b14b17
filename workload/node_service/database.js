"use strict";

const { Pool } = require("pg");
const { log } = require("./telemetry");

const CREATE_ITEMS = `CREATE TABLE IF NOT EXISTS items (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created timestamptz NOT NULL DEFAULT now()
)`;
const PATIENCE_MS = 2000;

/** The service has no variables for this dependency. */
class NotUsed extends Error {}
/** A table is not there, and this role may not make it: its migration has not been applied. */
class MissingTable extends Error {}

const first = (...names) => names.map((name) => process.env[name]).find((value) => value);

/** DATABASE_URL, else POSTGRES_*, DB_* or libpq's PG*; undefined where none of them is set. */
function configuration() {
  const { DATABASE_URL: connectionString } = process.env;
  if (connectionString) return { connectionString };
  const host = first("POSTGRES_HOST", "DB_HOST", "PGHOST");
  if (host === undefined) return undefined;
  const user = first("POSTGRES_USER", "DB_USER", "PGUSER") ?? "postgres";
  return {
    host,
    user,
    port: Number(first("POSTGRES_PORT", "DB_PORT", "PGPORT") ?? 5432),
    password: first("POSTGRES_PASSWORD", "DB_PASSWORD", "PGPASSWORD"),
    database: first("POSTGRES_DB", "DB_NAME", "PGDATABASE") ?? user,
  };
}

/** A pool that connects when it is asked, so that a dead database harms only what needs it. */
class Database {
  constructor(name) {
    const found = configuration();
    if (found === undefined) return;
    this.pool = new Pool({
      ...found,
      application_name: name,
      max: Number(first("DB_MAX_OPEN_CONNS", "DB_MAX_CONNECTIONS", "DB_POOL_SIZE") ?? 2),
      connectionTimeoutMillis: PATIENCE_MS,
      query_timeout: 2 * PATIENCE_MS,
      idleTimeoutMillis: 300_000,
    });
    // An idle connection that dies with the server is no reason to end.
    this.pool.on("error", (error) => log("error", "Database connection lost", { error: error.message }));
  }

  async query(text, values = []) {
    if (this.pool === undefined) throw new NotUsed("not used");
    try {
      return (await this.pool.query(text, values)).rows;
    } catch (error) {
      log("error", "Database connection or query failed", { error: error.message });
      throw error;
    }
  }

  probe() {
    return this.query("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()");
  }

  /** Rows of `items`, which is made first where it is not there and this role may. */
  async items(text, values) {
    try {
      return await this.query(text, values);
    } catch (error) {
      if (error.code !== "42P01") throw error;
    }
    try {
      await this.query(CREATE_ITEMS);
    } catch (error) {
      throw new MissingTable(error.message);
    }
    return this.query(text, values);
  }

  async close() {
    await this.pool?.end();
  }
}

module.exports = { Database, MissingTable, NotUsed, first };
