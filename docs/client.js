// A client of the API for front ends, to be copied. The tokens are kept in memory alone.
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? `The API answered ${status}`);
    Object.assign(this, { errors: {} }, document, { status });
  }
}

export class Client {
  #session = null;
  #refreshing = null;
  constructor(api) { this.api = api; }

  async logIn(email, password) {
    this.#session = (await this.#send("POST", "/auth/login", { body: { email, password } })).data;
  }
  async logOut() {
    await this.request("POST", "/auth/logout");
    this.#session = null;
  }
  // Any request; after a 401 once more, with the next token. `etag` is that of what was read.
  async request(method, path, options) {
    const token = this.#session?.token;
    return this.#send(method, path, options, token).catch(async (problem) => {
      if (problem.status !== 401 || !this.#session) throw problem;
      if (this.#session.token === token) await this.#refresh(); // or somebody else has done it
      return this.#send(method, path, options, this.#session.token);
    });
  }
  // A change; it has one effect, although it is sent again where nobody knows what became of it.
  // With a `key` of your own, so it has when the user asks for the same once more.
  async change(method, path, { key = crypto.randomUUID(), ...options } = {}) {
    const headers = { "Idempotency-Key": key };
    const send = () => this.request(method, path, { ...options, headers });
    return send().catch((error) => { if (error.status < 500) throw error; return send(); });
  }
  // A list: for await (const patient of client.all("/api/patients", "patients")) …
  async *all(path, name, { limit = 50, cursor = null } = {}) {
    do {
      const query = new URLSearchParams({ ...(limit && { limit }), ...(cursor && { cursor }) });
      const { data } = await this.request("GET", `${path}${path.includes("?") ? "&" : "?"}${query}`);
      yield* data[name];
      cursor = data.nextCursor;
    } while (cursor);
  }
  // A refresh token is good for one refresh: whoever wants one meanwhile waits for the same.
  #refresh() {
    this.#refreshing ??= this.#send("POST", "/auth/refresh", { body: { refreshToken: this.#session.refreshToken } })
      .then(({ data }) => { this.#session = data; })
      .catch((problem) => { if (problem.status === 401) this.#session = null; throw problem; })
      .finally(() => { this.#refreshing = null; });
    return this.#refreshing;
  }
  async #send(method, path, { body, etag, headers } = {}, token = null) {
    headers = { ...headers, ...(body && { "Content-Type": "application/json" }) };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (etag) headers["If-Match"] = etag;
    const response = await fetch(this.api + path, { method, headers, body: body && JSON.stringify(body) });
    const isFile = response.headers.get("Content-Type") === "application/pdf"; // then `data` is a Blob
    const data = await (isFile ? response.blob() : response.json().catch(() => ({})));
    if (!response.ok) throw new Problem(response.status, data);
    return { data, etag: response.headers.get("ETag") };
  }
}
