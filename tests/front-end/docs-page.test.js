// Tests the page that shows the API, as the stack serves it (API_URL), in a browser without a screen.

import assert from "node:assert/strict";
import { test } from "node:test";

import { JSDOM } from "jsdom";

const api = process.env.API_URL;
const skip = api ? false : "no stack: run it with `local-stack exec`";

/** Waits until the page is as it should be. */
async function until(what, condition) {
  const end = Date.now() + 60_000;
  while (!condition()) {
    assert.ok(Date.now() < end, `never seen: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

/** Opens the page. `answered` may change an answer before the page gets it. */
async function open(t, answered = (_path, answer) => answer) {
  const sent = [];
  const { window } = await JSDOM.fromURL(`${api}/docs`, {
    runScripts: "dangerously",
    resources: "usable",
    pretendToBeVisual: true,
    beforeParse(page) {
      page.matchMedia = () => ({ matches: false, addEventListener() {} });
      page.fetch = async (url, request) => {
        const path = String(url.url ?? url).slice(api.length + 1);
        const answer = await fetch(url, request);
        sent.push({ path, method: request?.method ?? "GET", status: answer.status });
        return answered(path, answer);
      };
    },
  });
  t.after(() => window.close());
  const { document } = window;
  const page = {
    window,
    sent,
    element: (id) => document.getElementById(id),
    operations: () => [...document.querySelectorAll(".opblock-summary-path")]
      .map((path) => path.textContent.replaceAll("\u200b", "")),
    logIn: async (role) => {
      const users = [...page.element("demo-users").children];
      users.find((user) => user.textContent === role).click();
      await until("the session", () => !page.element("session").hidden);
    },
  };
  await until("the operations", () => page.operations().length > 0);
  return page;
}

async function documented() {
  const document = await (await fetch(`${api}/openapi.json`)).json();
  return Object.entries(document.paths)
    .flatMap(([path, methods]) => Object.keys(methods).map(() => path));
}

test("the page shows every operation, and finds those that are asked for", { skip }, async (t) => {
  const page = await open(t);
  const all = await documented();
  assert.deepEqual(page.operations().toSorted(), all.toSorted());

  const field = page.window.document.querySelector(".operation-filter-input");
  assert.equal(field.placeholder, "Filter by tag, path or summary");
  const type = Object.getOwnPropertyDescriptor(page.window.HTMLInputElement.prototype, "value").set;
  type.call(field, "/Billing/AGING");
  field.dispatchEvent(new page.window.Event("input", { bubbles: true }));
  await until("one operation", () => page.operations().length === 1);
  assert.deepEqual(page.operations(), ["/api/billing/aging"]);
});

test("a demo user logs in, and logs out at the API, too", { skip }, async (t) => {
  const page = await open(t);
  assert.equal(page.element("session").hidden, true);
  await page.logIn("AUDITOR");
  assert.equal(page.element("who").textContent, "auditor@clinic.example");
  assert.equal(page.element("role").textContent, "AUDITOR");
  assert.equal(page.element("welcome").hidden, true);

  page.element("logout").click();
  await until("nobody", () => page.element("session").hidden);
  const { path, status } = page.sent.at(-1);
  assert.deepEqual([path, status], ["auth/logout", 204]);
  assert.equal(page.element("message").hidden, true);
});

test("a wrong password is told, and logs nobody in", { skip }, async (t) => {
  const page = await open(t);
  page.element("email").value = `${page.window.crypto.randomUUID()}@clinic.example`;
  page.element("password").value = "not a password of anybody";
  page.element("login").requestSubmit();
  await until("a message", () => !page.element("message").hidden);
  assert.match(page.element("message").textContent, /password/i);
  assert.equal(page.element("session").hidden, true);
});

test("the session goes on while somebody uses the page, and only then", { skip }, async (t) => {
  const page = await open(t, async (path, answer) => {
    if (path !== "auth/login") return answer;
    const session = await answer.json();
    return Response.json({ ...session, expiresIn: 1 });
  });
  await page.logIn("AUDITOR");
  const refreshes = () => page.sent.filter(({ path }) => path === "auth/refresh").length;
  await until("the end", () => page.element("remaining").textContent === "renewed when you go on");
  assert.equal(refreshes(), 0);

  page.window.document.dispatchEvent(new page.window.Event("keydown"));
  await until("a new token", () => /^\d+:\d\d$/.test(page.element("remaining").textContent));
  assert.equal(refreshes(), 1);
  assert.equal(page.element("who").textContent, "auditor@clinic.example");
});
