"use strict";

const crypto = require("node:crypto");
const { createClient } = require("redis");
const { NotUsed } = require("./database");
const { log } = require("./telemetry");

const PATIENCE_MS = 1000;

/** REDIS_URL, else REDIS_HOST and its sisters; undefined where neither is set. */
function configuration() {
  const { REDIS_URL: url, REDIS_HOST: host } = process.env;
  if (url) return { url };
  if (!host) return undefined;
  return {
    socket: { host, port: Number(process.env.REDIS_PORT || 6379) },
    username: process.env.REDIS_USERNAME || undefined,
    password: process.env.REDIS_PASSWORD || undefined,
    database: Number(process.env.REDIS_DB || 0),
  };
}

/** One connection, made when it is first asked and again after it is lost. */
class Cache {
  constructor(name) {
    this.name = name;
    this.configuration = configuration();
  }

  async connected() {
    if (this.configuration === undefined) throw new NotUsed("not used");
    if (this.client?.isReady) return this.client;
    this.connecting ??= this.connect().finally(() => {
      this.connecting = undefined;
    });
    return this.connecting;
  }

  async connect() {
    const { socket, ...rest } = this.configuration;
    const client = createClient({
      ...rest,
      socket: { ...socket, connectTimeout: PATIENCE_MS, reconnectStrategy: false },
      disableOfflineQueue: true,
    });
    client.on("error", (error) => log("error", "Redis connection failed", { error: error.message }));
    await client.connect();
    this.client = client;
    return client;
  }

  async within(asked) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("no answer in time")), PATIENCE_MS);
    });
    try {
      return await Promise.race([asked, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A real PING, SET and GET. */
  async probe() {
    const client = await this.within(this.connected());
    const token = crypto.randomBytes(8).toString("hex");
    const key = `${this.name}:probe:${token}`; // one a probe: two at a time must not read each other's value
    await this.within(client.ping());
    await this.within(client.set(key, token, { EX: 10 }));
    if ((await this.within(client.get(key))) !== token) throw new Error("another value came back than was set");
  }

  /** Adds one to a counter; without a cache there is none to count in. */
  async count(name) {
    if (this.configuration === undefined) return 0;
    const client = await this.within(this.connected());
    return this.within(client.incr(`${this.name}:${name}`));
  }

  async close() {
    if (this.client?.isOpen) await this.client.quit();
  }
}

module.exports = { Cache };
