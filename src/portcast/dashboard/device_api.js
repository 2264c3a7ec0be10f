// Asking the HTTP API of devices, with errors in words.

const ANSWER_LIMIT_MS = 10_000;

/** A question without a useful answer; `message` is a sentence for the reader. */
export class ApiError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** What was refused, where the server's own words would not help. */
const WORDS = new Map([
  [401, "the server wants to know who asks: log in first"],
  [403, "the server does not let this page do that"],
  [404, "this device is not known any more"],
]);

export class DeviceApi {
  #base;

  /** @param {URL} base where the gateway is mounted */
  constructor(base) {
    this.#base = new URL("api/", base);
  }

  /** @param {{search: string, status: string, after: string, limit: number}} wanted */
  list({ search, status, after, limit }, signal) {
    const query = [`limit=${limit}`];
    for (const [name, value] of Object.entries({ search, status, after })) {
      if (value !== "") query.push(`${name}=${encodeURIComponent(value)}`);
    }
    return this.#ask(`devices?${query.join("&")}`, { signal });
  }

  device(id) {
    return this.#ask(this.#path(id));
  }

  /** Who asks, and which role that gives. */
  session() {
    return this.#ask(new URL("../session", this.#base));
  }

  /** @returns {Promise<{connections: object[], next: string | null}>} the first of a device's open connections, by id */
  connections(id, limit) {
    return this.#ask(`connections?device=${encodeURIComponent(id)}&limit=${limit}`);
  }

  close(connectionId) {
    return this.#ask(`connections/${encodeURIComponent(connectionId)}`, { method: "DELETE" });
  }

  /** What the flight recorder is told to record. */
  recorder() {
    return this.#ask("recorder?limit=1");
  }

  record(rule, seconds) {
    return this.#ask(`recorder/rules/${encodeURIComponent(rule)}?for=${seconds}`, { method: "PUT" });
  }

  stopRecording(rule) {
    return this.#ask(`recorder/rules/${encodeURIComponent(rule)}`, { method: "DELETE" });
  }

  /** A page of what is recorded of a device, oldest first, behind the frame with the number `after`. */
  frames(id, after, limit) {
    return this.#ask(`${this.#path(id)}/frames?after=${after}&limit=${limit}`);
  }

  approve(id) {
    return this.#ask(`${this.#path(id)}/approve`, { method: "POST" });
  }

  /** Submit a command and return it in its first state; sent again with the same key it is the same command. */
  submit(id, command, key) {
    const headers = { "content-type": "application/json", "idempotency-key": key };
    return this.#ask(`${this.#path(id)}/commands?wait=0`, { method: "POST", headers, body: JSON.stringify({ command }) });
  }

  command(id, commandId) {
    return this.#ask(`${this.#path(id)}/commands/${encodeURIComponent(commandId)}`);
  }

  cancel(id, commandId) {
    return this.#ask(`${this.#path(id)}/commands/${encodeURIComponent(commandId)}`, { method: "DELETE" });
  }

  #path(id) {
    return `devices/${encodeURIComponent(id)}`;
  }

  async #ask(path, { signal, ...options } = {}) {
    const limit = AbortSignal.timeout(ANSWER_LIMIT_MS);
    let response;
    try {
      response = await fetch(new URL(path, this.#base), {
        cache: "no-store",
        ...options,
        signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError("the server does not answer");
    }
    if (response.ok) return response.status === 204 ? null : response.json();
    const said = await response.json().catch(() => ({}));
    const detail = typeof said.detail === "string" ? said.detail : "";
    throw new ApiError(WORDS.get(response.status) ?? (detail || `the server answers ${response.status}`), response.status);
  }
}
