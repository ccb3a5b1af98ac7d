// What a TypeScript front end writes against the types generated from the API document. It only has
// to compile, except where `@ts-expect-error` says that it must not.

import createClient from "openapi-fetch";
import type { components, paths } from "./generated/api.js";

type Patient = components["schemas"]["Patient"];
type Problem = components["schemas"]["ProblemDocument"];

const api = createClient<paths>({ baseUrl: "https://clinic.example/v1" });

export async function logIn(email: string, password: string): Promise<void> {
  const { data, error } = await api.POST("/auth/login", { body: { email, password } });
  if (error) throw new Error(explain(error));
  const seconds: number = data.expiresIn;
  console.log(`${data.role}, for ${seconds} seconds`);
  api.use({
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${data.token}`);
    },
  });
}

export async function* allPatients(): AsyncGenerator<Patient> {
  let cursor: string | null = null;
  do {
    const query: { limit: number; cursor?: string } = cursor === null ? { limit: 100 } : { limit: 100, cursor };
    const { data, error } = await api.GET("/api/patients", { params: { query } });
    if (error) throw new Error(explain(error));
    yield* data.patients;
    // Present on every page, and null on the last one.
    cursor = data.nextCursor;
  } while (cursor !== null);
}

export async function rename(patient: Patient, name: string): Promise<Patient> {
  const { data, error, response } = await api.PUT("/api/patients/{id}", {
    params: {
      path: { id: patient.id },
      header: { "If-Match": `"${patient.version}"`, "Idempotency-Key": crypto.randomUUID() },
    },
    // A patient that was read can be sent back.
    body: { ...patient, name },
  });
  if (error) throw new Error(`${response.status}: ${explain(error)}`);
  return data;
}

export async function renameGroup(id: string, name: string): Promise<void> {
  const { data, error, response } = await api.GET("/api/groups/{id}", { params: { path: { id } } });
  if (error) throw new Error(explain(error));
  const header = { "If-Match": response.headers.get("ETag") ?? "*" };
  // A group that was read, with its members, can be sent back.
  const { error: refusal } = await api.PUT("/api/groups/{id}", {
    params: { path: { id }, header },
    body: { ...data, name },
  });
  if (refusal) throw new Error(explain(refusal));
}

export async function move(patientId: string, address: string): Promise<void> {
  const path = { id: patientId };
  const { data, error } = await api.GET("/api/patients/{id}/family", { params: { path } });
  if (error) throw new Error(explain(error));
  // So can a family.
  const header = { "If-Match": `"${data.version}"` };
  const body = { ...data, address };
  const { error: refusal } = await api.PUT("/api/patients/{id}/family", { params: { path, header }, body });
  if (refusal) throw new Error(explain(refusal));
}

export async function importTable(contentLength: number): Promise<string> {
  // What has a default may be missing.
  const { data, error } = await api.POST("/api/patients/imports", { body: { format: "CSV", contentLength } });
  if (error) throw new Error(explain(error));
  return data.uploadUrl;
}

// Every type of problem has a name, and the compiler knows these names.
export function explain(problem: Problem): string {
  switch (problem.type) {
    case "urn:patient-management:problem:precondition-failed":
      return "Somebody else has changed it in the meantime";
    case "urn:patient-management:problem:invalid-input":
      return Object.values(problem.errors ?? {}).join(", ") || problem.detail;
    // @ts-expect-error: there is no such type of problem.
    case "urn:patient-management:problem:made-up":
      return "";
    default:
      return problem.detail;
  }
}

export function mistakes(): void {
  // @ts-expect-error: a header is a string.
  void api.DELETE("/api/patients/{id}", { params: { path: { id: "" }, header: { "If-Match": null } } });
  // @ts-expect-error: a field is missing.
  void api.POST("/auth/login", { body: { email: "" } });
  // @ts-expect-error: there is no such route.
  void api.GET("/api/doctors");
}
