// Tests docs/client.js, which front ends copy, against a running stack (API_URL).

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, Problem } from "../../docs/client.js";

const api = process.env.API_URL;
const skip = api ? false : "no stack: run it with `local-stack exec`";
const fetched = globalThis.fetch;

/** Records every request, and passes it to `change` first. */
function watch(t, change = () => {}) {
  const paths = [];
  globalThis.fetch = async (url, request) => {
    const path = url.slice(api.length);
    paths.push(path);
    return (await change(path, request)) ?? fetched(url, request);
  };
  t.after(() => { globalThis.fetch = fetched; });
  return paths;
}

const somebody = () => ({
  name: "Milo Feil",
  email: `${crypto.randomUUID()}@clinic.example`,
  address: "422 Farrell Path",
  dateOfBirth: "1983-11-14",
});

async function administrator() {
  const client = new Client(api);
  await client.logIn("testuser@test.com", "password123");
  return client;
}

test("parallel requests whose token is rejected share one refresh", { skip }, async (t) => {
  const client = await administrator();
  let refused = 0;
  const paths = watch(t, (path, request) => {
    if (path.startsWith("/api/") && refused < 5) {
      refused += 1;
      request.headers.Authorization = "Bearer expired";
    }
  });
  const five = Array.from({ length: 5 }, () => client.request("GET", "/api/patients?limit=1"));
  for (const { data } of await Promise.all(five)) assert.ok(Array.isArray(data.patients));
  assert.equal(paths.filter((path) => path === "/auth/refresh").length, 1);
  // The new refresh token is kept: the next refresh works, too.
  refused = 4;
  await client.request("GET", "/api/patients?limit=1");
  assert.equal(paths.filter((path) => path === "/auth/refresh").length, 2);
});

test("a change repeated after a lost response has one effect", { skip }, async (t) => {
  const client = await administrator();
  let lost = false;
  watch(t, async (path, request) => {
    if (path === "/api/patients" && !lost) {
      lost = true;
      await fetched(api + path, request);
      throw new TypeError("the response is lost");
    }
  });
  const { data, etag } = await client.change("POST", "/api/patients", { body: somebody() });
  assert.equal(data.version, 1);
  assert.equal(etag, '"1"');
});

test("a change based on an older version is rejected", { skip }, async () => {
  const client = await administrator();
  const { data, etag } = await client.change("POST", "/api/patients", { body: somebody() });
  const path = `/api/patients/${data.id}`;
  await client.change("PUT", path, { body: { ...data, name: "Milo B. Feil" }, etag });
  await assert.rejects(
    client.change("PUT", path, { body: data, etag }),
    (error) => error instanceof Problem && error.status === 412,
  );
});

test("a list is read page by page, and errors name the fields", { skip }, async (t) => {
  const client = await administrator();
  for (let n = 0; n < 51; n += 1) await client.change("POST", "/api/patients", { body: somebody() });
  const paths = watch(t);
  const ids = new Set();
  for await (const patient of client.all("/api/patients", "patients")) {
    ids.add(patient.id);
    if (ids.size === 51) break;
  }
  assert.equal(ids.size, 51);
  assert.equal(paths.length, 2);
  await assert.rejects(client.change("POST", "/api/patients", { body: { name: "" } }), (error) => {
    assert.match(error.type, /invalid-input$/);
    assert.ok(error.errors.email, JSON.stringify(error.errors));
    return true;
  });
});

test("logging out ends the session, and requests are not retried", { skip }, async (t) => {
  const client = await administrator();
  await client.logOut();
  const paths = watch(t);
  await assert.rejects(client.request("GET", "/api/patients"), { status: 401 });
  assert.deepEqual(paths, ["/api/patients"]);
});
