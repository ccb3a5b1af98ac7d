// Logs in, keeps the access token in memory and nowhere else, and hands it to Swagger UI,
// which shows the API and calls it.
"use strict";

const element = (id) => document.getElementById(id);

// The address that all paths of the API are relative to: this page's own, without `docs`.
const api = new URL(".", document.location.href);

// The name that the document gives to access tokens.
const BEARER = "bearer";

let swagger = null;
let session = null;
let clock = null;

class Refused extends Error {}

async function logIn(email, password) {
  const response = await fetch(new URL("auth/login", api), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email, password }),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Refused(answer.detail || `The API answered ${response.status}`);
  }
  return answer;
}

// `answer` is what the login answers.
function start({ token, role, expiresIn }, email) {
  session = { expires: Date.now() + expiresIn * 1000 };
  swagger?.preauthorizeApiKey(BEARER, token);
  element("who").textContent = email;
  element("role").textContent = role;
  element("password").value = "";
  show();
  clearInterval(clock);
  clock = setInterval(countDown, 1000);
  countDown();
}

function end(message) {
  session = null;
  clearInterval(clock);
  swagger?.authActions.logout([BEARER]);
  show(message);
}

function show(message) {
  element("login").hidden = session !== null;
  element("session").hidden = session === null;
  element("message").hidden = !message;
  element("message").textContent = message || "";
}

function countDown() {
  const seconds = Math.floor((session.expires - Date.now()) / 1000);
  if (seconds <= 0) {
    end("Your session has expired. Please log in again.");
    return;
  }
  const minutes = Math.floor(seconds / 60);
  element("remaining").textContent = `${minutes}:${String(seconds % 60).padStart(2, "0")}`;
}

async function submit(event) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  const email = element("email").value.trim();
  button.disabled = true;
  try {
    start(await logIn(email, element("password").value), email);
  } catch (error) {
    show(error instanceof Refused ? error.message : "The API cannot be reached. Is it running?");
  } finally {
    button.disabled = false;
  }
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

function followColorScheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", apply);
  apply();
}

async function main() {
  followColorScheme();
  element("login").addEventListener("submit", submit);
  element("logout").addEventListener("click", () => end());
  try {
    const spec = await describe();
    document.title = spec.info.title;
    swagger = SwaggerUIBundle({
      spec,
      dom_id: "#api",
      deepLinking: true,
      displayRequestDuration: true,
      filter: true,
      tryItOutEnabled: true,
      defaultModelsExpandDepth: 0,
      defaultModelExpandDepth: 2,
      docExpansion: "list",
      validatorUrl: null,
      responseInterceptor: observe,
    });
  } catch (error) {
    console.error(error);
    show("The description of the API cannot be loaded.");
  }
}

main();
