// Logs in, keeps the tokens in memory and nowhere else, and hands the access token to
// Swagger UI, which shows the API and calls it.
"use strict";

const element = (id) => document.getElementById(id);

// The address that all paths of the API are relative to: this page's own, without `docs`.
const api = new URL(".", document.location.href);

// The name that the document gives to access tokens.
const BEARER = "bearer";

// How long before its end an access token is renewed, in milliseconds.
const EARLY = 30_000;

// The users of the local stack. No other deployment has them.
const IS_LOCAL = ["localhost", "127.0.0.1", "[::1]"].includes(document.location.hostname);
const DEMO_USERS = [
  { role: "ADMIN", email: "testuser@test.com", password: "password123" },
  { role: "CLINICIAN", email: "clinician@clinic.example", password: "clinician-demo-password" },
  { role: "RECEPTIONIST", email: "receptionist@clinic.example", password: "receptionist-demo-password" },
  { role: "AUDITOR", email: "auditor@clinic.example", password: "auditor-demo-password" },
];

let swagger = null;
let session = null;
let clock = null;
let refreshing = null;

class Refused extends Error {
  constructor(status, detail) {
    super(detail || `The API answered ${status}`);
    this.status = status;
  }
}

async function post(path, { token, body } = {}) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(new URL(path, api), {
    method: "POST",
    headers,
    body: body && JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Refused(response.status, answer.detail);
  }
  return answer;
}

const explain = (error) =>
  error instanceof Refused ? error.message : "The API cannot be reached. Is it running?";

// `answer` is what a login or a refresh answers.
function start({ token, refreshToken, role, expiresIn }, email) {
  session = { email, token, refreshToken, expires: Date.now() + expiresIn * 1000, used: false };
  swagger?.preauthorizeApiKey(BEARER, token);
  element("who").textContent = email;
  element("role").textContent = role;
  element("password").value = "";
  show();
  clearInterval(clock);
  clock = setInterval(tick, 1000);
  tick();
}

function end(message) {
  session = null;
  clearInterval(clock);
  swagger?.authActions.logout([BEARER]);
  show(message);
}

function show(message) {
  element("welcome").hidden = session !== null;
  element("session").hidden = session === null;
  element("message").hidden = !message;
  element("message").textContent = message || "";
}

// A refresh token is good for one refresh: whoever wants one meanwhile waits for the same.
function refresh() {
  refreshing ??= renew(session).finally(() => { refreshing = null; });
  return refreshing;
}

async function renew({ email, refreshToken }) {
  try {
    start(await post("auth/refresh", { body: { refreshToken } }), email);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      end("Your session is over. Please log in again.");
    } else {
      show(explain(error));
    }
  }
}

// Renews the access token while somebody is there. A page that nobody uses keeps no session.
function tick() {
  const left = session.expires - Date.now();
  if (left <= EARLY && session.used) {
    session.used = false;
    refresh();
  }
  const seconds = Math.max(0, Math.floor(left / 1000));
  const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  element("remaining").textContent = seconds > 0 ? time : "renewed when you go on";
}

function use() {
  if (session) session.used = true;
}

async function logIn(email, password) {
  const buttons = element("welcome").querySelectorAll("button");
  buttons.forEach((button) => { button.disabled = true; });
  try {
    start(await post("auth/login", { body: { email, password } }), email);
  } catch (error) {
    show(explain(error));
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
  }
}

async function logOut() {
  try {
    if (session.expires <= Date.now()) await refresh();
    if (session) await post("auth/logout", { token: session.token });
    end();
  } catch (error) {
    const over = error instanceof Refused && error.status === 401;
    end(over ? "" : `You are logged out here, but the session could not be ended. ${explain(error)}`);
  }
}

// Swagger UI puts in the token that it was given; by now there may be another.
async function authorize(request) {
  if (session && request.headers.Authorization) {
    if (session.expires <= Date.now()) await refresh();
    if (session) request.headers.Authorization = `Bearer ${session.token}`;
  }
  return request;
}

// Notices somebody who logs in with the route itself, and a token that is refused.
function observe(response) {
  const login = new URL(response.url).pathname === new URL("auth/login", api).pathname;
  if (login && response.ok && response.body?.token) {
    start(response.body, "you");
  } else if (!login && response.status === 401 && session) {
    end("The API did not accept your token any more. Please log in again.");
  }
  return response;
}

// Finds operations by their tag, path, method, name or summary, in whatever case.
function filter() {
  const matches = (text, phrase) => String(text ?? "").toLowerCase().includes(phrase);
  const opsFilter = (taggedOps, text) => {
    const phrase = text.trim().toLowerCase();
    const wanted = (operation) => [
      `${operation.get("method")} ${operation.get("path")}`,
      operation.getIn(["operation", "summary"]),
      operation.getIn(["operation", "operationId"]),
    ].some((text) => matches(text, phrase));
    return taggedOps
      .map((group, tag) => matches(tag, phrase)
        ? group
        : group.update("operations", (operations) => operations.filter(wanted)))
      .filter((group) => group.get("operations").size > 0);
  };
  return { fn: { opsFilter } };
}

async function describe() {
  const response = await fetch(new URL("openapi.json", api));
  if (!response.ok) {
    throw new Error(`openapi.json: ${response.status}`);
  }
  const spec = await response.json();
  // With the whole address, the examples for curl work wherever they are pasted.
  spec.servers = [{ url: api.href.replace(/\/$/, "") }];
  return spec;
}

// What the field says that Swagger UI makes for its own filter, which knows tags alone.
function nameFilter() {
  new MutationObserver((_, observer) => {
    const field = document.querySelector(".operation-filter-input");
    field?.setAttribute("placeholder", "Filter by tag, path or summary");
    if (field) observer.disconnect();
  }).observe(element("api"), { childList: true, subtree: true });
}

function offerDemoUsers() {
  element("demo").hidden = !IS_LOCAL;
  for (const { role, email, password } of DEMO_USERS) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = role;
    button.title = `${email}, ${password}`;
    button.addEventListener("click", () => logIn(email, password));
    element("demo-users").append(button);
  }
}

function followColorScheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", apply);
  apply();
}

async function main() {
  followColorScheme();
  offerDemoUsers();
  element("login").addEventListener("submit", (event) => {
    event.preventDefault();
    logIn(element("email").value.trim(), element("password").value);
  });
  element("logout").addEventListener("click", logOut);
  for (const sign of ["pointerdown", "keydown"]) {
    document.addEventListener(sign, use, { passive: true });
  }
  try {
    const spec = await describe();
    document.title = spec.info.title;
    element("version").textContent = spec.info.version;
    nameFilter();
    swagger = SwaggerUIBundle({
      spec,
      dom_id: "#api",
      plugins: [filter],
      deepLinking: true,
      displayRequestDuration: true,
      filter: true,
      tryItOutEnabled: true,
      defaultModelsExpandDepth: 0,
      defaultModelExpandDepth: 2,
      docExpansion: "list",
      validatorUrl: null,
      requestInterceptor: authorize,
      responseInterceptor: observe,
    });
    if (session) swagger.preauthorizeApiKey(BEARER, session.token);
  } catch (error) {
    console.error(error);
    show("The description of the API cannot be loaded.");
  }
}

main();
