"use strict";

// The stand-in for a service in Node: health by real questions, metrics, a line of JSON a request, a graceful end.

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { parseArgs } = require("node:util");

const { Cache } = require("./cache");
const { Database, MissingTable, NotUsed } = require("./database");
const { Metrics, log, quiet, requestId } = require("./telemetry");

const LARGEST_BODY = 64 * 1024;
const SLOW_MS = 2000;
const DRAIN_MS = 30_000;

function fatal(sentence) {
  fs.writeSync(2, `fatal: ${sentence}\n`);
  process.exit(3);
}

// What the artefact says of itself: the same program is every service and every version.
const release = JSON.parse(fs.readFileSync(path.resolve("../release.json"), "utf8"));
if (release.fault === "crash") fatal("this build is broken and ends at start");

function address() {
  const options = { port: { type: "string" }, host: { type: "string", default: "127.0.0.1" } };
  try {
    const { values } = parseArgs({ options });
    const port = Number(values.port);
    if (Number.isInteger(port) && port > 0 && port < 65536 && ["127.0.0.1", "::1", "localhost"].includes(values.host))
      return { host: values.host, port };
    return fatal(`found --host ${values.host} --port ${values.port}, expected a loopback address and a port`);
  } catch (error) {
    return fatal(error.message);
  }
}

const listen = address();
const metrics = new Metrics(release);
const database = new Database(release.name);
const cache = new Cache(release.name);

async function state(asked) {
  try {
    await asked;
    return "connected";
  } catch (error) {
    // A service that has no variables for a dependency does not use it.
    return error instanceof NotUsed ? "not used" : "disconnected";
  }
}

async function dependency(asked) {
  const status = await state(asked);
  return [status === "disconnected" ? 503 : 200, { status }];
}

async function ready() {
  const [db, redis] = await Promise.all([state(database.probe()), state(cache.probe())]);
  const good = db !== "disconnected" && redis !== "disconnected" && release.fault !== "health";
  return [good ? 200 : 503, { status: good ? "ready" : "not ready", db, redis }];
}

async function body(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > LARGEST_BODY) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

async function addItem(request) {
  const text = await body(request);
  if (text === undefined) return [413, { error: "too large" }];
  let name;
  try {
    ({ name } = JSON.parse(text));
  } catch {
    name = undefined;
  }
  if (typeof name !== "string" || name.length < 1 || name.length > 200 || name.includes("\0"))
    return [422, { error: "expected a name of 1 to 200 characters" }];
  const [row] = await database.items("INSERT INTO items (name) VALUES ($1) RETURNING id", [name]);
  metrics.processed += 1;
  return [201, { id: Number(row.id), writes: await cache.count("items:writes") }];
}

async function listItems() {
  const rows = await database.items("SELECT id, name, created FROM items ORDER BY id DESC LIMIT 20");
  const items = rows.map(({ id, name, created }) => ({ id: Number(id), name, created: created.toISOString() }));
  return [200, { items, reads: await cache.count("items:reads") }];
}

const health = async () =>
  release.fault === "health" ? [500, { status: "unhealthy" }] : [200, { status: "healthy" }];
const routes = {
  "GET /health": health,
  "GET /health/ready": ready,
  "GET /health/db": () => dependency(database.probe()),
  "GET /health/redis": () => dependency(cache.probe()),
  "GET /version": async () => [200, { version: release.version }],
  "GET /metrics": async () => [200, metrics.render()],
  "GET /api/items": listItems,
  "POST /api/items": addItem,
};

async function answer(request, pathname) {
  const route = routes[`${request.method === "HEAD" ? "GET" : request.method} ${pathname}`];
  if (route === undefined) return [404, { error: "no such path" }];
  try {
    return await route(request);
  } catch (error) {
    if (error instanceof NotUsed) return [501, { error: "this service uses no database" }];
    log("error", error instanceof MissingTable ? "a migration is missing" : "a dependency does not answer", {
      error: error.message,
    });
    return [503, { error: "a dependency does not answer" }];
  }
}

async function handle(request, response) {
  const start = process.hrtime.bigint();
  const id = requestId(request.headers["x-request-id"]);
  const pathname = request.url.split("?")[0];
  metrics.user(request.headers["x-forwarded-for"] ?? request.socket.remoteAddress);
  if (release.fault === "slow") await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
  const [status, content] = await answer(request, pathname);
  const text = typeof content === "string" ? content : `${JSON.stringify(content)}\n`;
  response.writeHead(status, {
    "Content-Type": typeof content === "string" ? "text/plain; version=0.0.4" : "application/json",
    "Content-Length": Buffer.byteLength(text),
    "X-Request-ID": id,
    ...(stopping ? { Connection: "close" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : text);
  const took = Number(process.hrtime.bigint() - start) / 1e6;
  metrics.observe(request.method, status, took / 1000);
  if (status >= 400 || !quiet(pathname))
    log(status >= 500 ? "error" : "info", `request status_code=${status} took ${Math.round(took)}ms`, {
      request_id: id, method: request.method, path: pathname, status, duration_ms: Math.round(took * 1000) / 1000,
    });
}

let stopping = false;
const server = http.createServer((request, response) => {
  handle(request, response).catch((error) => {
    log("error", "a request failed", { error: error.message });
    response.destroy();
  });
});
// A proxy that keeps idle connections must not find them closed: longer than any such proxy waits.
server.keepAliveTimeout = 75_000;

for (const signal of ["SIGTERM", "SIGINT"])
  process.on(signal, () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => server.closeAllConnections(), DRAIN_MS).unref();
    server.close(async () => {
      await Promise.allSettled([database.close(), cache.close()]);
      log("info", "stopped", { service: release.name, version: release.version });
      process.exit(0);
    });
    server.closeIdleConnections();
  });
server.on("error", (error) => fatal(error.message));
server.listen(listen.port, listen.host, () =>
  log("info", "serves", { service: release.name, version: release.version }),
);
