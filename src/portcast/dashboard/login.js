// Shows a form when the gateway wants to know who asks, and a way to log out once somebody has logged in.
//
// The key goes to `session` once and is kept nowhere here; from then on the browser sends a cookie that no script can read.

import { setText } from "./dom.js";

const ANSWER_LIMIT_MS = 10_000;
const REFUSALS = {
  401: "This key is not valid.",
  429: "Too many keys that are not valid came from your network. Wait a minute.",
};

export class Login {
  #address;
  #parts;
  #onLogin;

  /**
   * @param {object} options
   * @param {URL} options.base where the gateway is mounted
   * @param {{form: HTMLFormElement, key: HTMLInputElement, error: HTMLElement, logout: HTMLButtonElement}} options.parts
   * @param {() => void} options.onLogin
   */
  constructor({ base, parts, onLogin }) {
    this.#address = new URL("session", base);
    this.#parts = parts;
    this.#onLogin = onLogin;
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    parts.logout.addEventListener("click", async () => {
      await this.#send("DELETE").catch(() => {});
      location.reload();
    });
  }

  /** The stream was refused: show the form if logging in may help. */
  async offer() {
    const answer = await this.#send("GET").catch(() => null);
    if (answer === null) return;
    const isNobody = answer.status === 401 || (answer.ok && (await answer.json()).user === "");
    if (!isNobody || !this.#parts.form.hidden) return;
    this.#parts.form.hidden = false;
    this.#parts.key.focus();
  }

  /** The stream is live: show who it is that can log out. */
  async settled() {
    this.#parts.form.hidden = true;
    const answer = await this.#send("GET").catch(() => null);
    if (!answer?.ok) return;
    const { user } = await answer.json();
    this.#parts.logout.hidden = user === "";
    this.#parts.logout.title = user === "" ? "" : `Logged in as ${user}`;
  }

  async #submit() {
    const { form, key, error } = this.#parts;
    const answer = await this.#send("POST", key.value).catch(() => null);
    key.value = "";
    const isIn = answer?.status === 204;
    error.hidden = isIn;
    setText(error, isIn ? "" : (REFUSALS[answer?.status] ?? "The gateway did not answer as it should."));
    if (!isIn) return;
    form.hidden = true;
    this.#onLogin();
  }

  #send(method, key = null) {
    const body = key === null ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify({ key }) };
    return fetch(this.#address, { method, cache: "no-store", signal: AbortSignal.timeout(ANSWER_LIMIT_MS), ...body });
  }
}
