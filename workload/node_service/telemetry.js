"use strict";

const crypto = require("node:crypto");
const v8 = require("node:v8");

const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2.5, 5, 10];
const ACTIVE_MS = 15 * 60_000;

/** One line of JSON on standard output, where the journal reads it. */
function log(level, message, more = {}) {
  const line = { time: new Date().toISOString(), level: level.toUpperCase(), message, ...more };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Probes come several times a second; they are logged when they fail. */
const quiet = (pathname) => pathname.startsWith("/health") || pathname === "/metrics" || pathname === "/version";

/** The caller's own id where it is one, else a new one. */
const requestId = (given) =>
  given !== undefined && /^[0-9A-Fa-f-]{8,64}$/.test(given) ? given : crypto.randomBytes(16).toString("hex");

/** The counters of this process, as Prometheus reads them. */
class Metrics {
  constructor(release) {
    this.release = release;
    this.started = Date.now() / 1000;
    this.requests = new Map();
    this.buckets = BOUNDS.map(() => 0);
    this.seconds = 0;
    this.count = 0;
    this.processed = 0;
    this.users = new Map();
  }

  observe(method, status, seconds) {
    const key = `method="${method}",status="${status}"`;
    this.requests.set(key, (this.requests.get(key) ?? 0) + 1);
    this.seconds += seconds;
    this.count += 1;
    BOUNDS.forEach((bound, index) => {
      if (seconds <= bound) this.buckets[index] += 1;
    });
  }

  /** Who asked in the last quarter of an hour. */
  user(address) {
    this.users.set(address, Date.now());
  }

  active() {
    const since = Date.now() - ACTIVE_MS;
    for (const [address, last] of this.users) if (last < since) this.users.delete(address);
    return this.users.size;
  }

  render() {
    const { system = "app", version } = this.release;
    const name = system.replaceAll("-", "_");
    const heap = v8.getHeapStatistics();
    const lines = [
      `# TYPE app_info gauge\napp_info{version="${version}"} 1`,
      `# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds ${this.started}`,
      "# TYPE http_requests_total counter",
      ...[...this.requests].sort().map(([labels, count]) => `http_requests_total{${labels}} ${count}`),
      "# TYPE http_request_duration_seconds histogram",
      ...BOUNDS.map((bound, index) => `http_request_duration_seconds_bucket{le="${bound}"} ${this.buckets[index]}`),
      `http_request_duration_seconds_bucket{le="+Inf"} ${this.count}`,
      `http_request_duration_seconds_sum ${this.seconds}\nhttp_request_duration_seconds_count ${this.count}`,
      `# TYPE ${name}_active_users gauge\n${name}_active_users ${this.active()}`,
      `# TYPE ${name}_images_processed_total counter\n${name}_images_processed_total ${this.processed}`,
      `# TYPE nodejs_heap_size_limit_bytes gauge\nnodejs_heap_size_limit_bytes ${heap.heap_size_limit}`,
      `# TYPE nodejs_heap_used_bytes gauge\nnodejs_heap_used_bytes ${heap.used_heap_size}`,
    ];
    return `${lines.join("\n")}\n`;
  }
}

module.exports = { Metrics, log, quiet, requestId };
