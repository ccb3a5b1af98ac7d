//! Fictitious patients, and requests about them.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use chrono::{NaiveDate, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::memory::sample_event;

/// A patient to be registered.
#[derive(Debug)]
pub(crate) struct NewPatient {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) address: String,
    pub(crate) date_of_birth: NaiveDate,
    pub(crate) registered_date: NaiveDate,
}

impl NewPatient {
    /// A patient with a new e-mail address.
    pub(crate) fn fresh() -> Self {
        Self {
            name: "Milo Feil".to_owned(),
            email: format!("{}@benchmark.example", Uuid::now_v7().simple()),
            address: "422 Farrell Path Unit 69, Somerville, Massachusetts 02143".to_owned(),
            date_of_birth: NaiveDate::from_ymd_opt(1983, 11, 14).unwrap_or_default(),
            registered_date: Utc::now().date_naive(),
        }
    }
}

/// The sample event of `get-patient`, with another id.
///
/// # Errors
/// If there is no sample event.
pub(crate) fn get_event(id: Uuid) -> Result<Bytes> {
    get_event_like(&sample_event("get-patient")?, id)
}

/// The same of the sample event of another commit.
///
/// # Errors
/// If it is not JSON.
pub(crate) fn get_event_like(sample: &[u8], id: Uuid) -> Result<Bytes> {
    let mut event: Value = serde_json::from_slice(sample)?;
    let path = format!("/api/patients/{id}");
    event["path"] = json!(path);
    event["requestContext"]["path"] = json!(path);
    event["pathParameters"]["id"] = json!(id);
    Ok(event.to_string().into())
}

/// The sample event of `create-patient`, with another patient.
///
/// # Errors
/// If there is no sample event.
pub(crate) fn create_event(patient: &NewPatient) -> Result<Bytes> {
    create_event_like(&sample_event("create-patient")?, patient)
}

/// The sample event of `list-patients`, for a page of this size.
///
/// # Errors
/// If it is not JSON.
pub(crate) fn list_event_like(sample: &[u8], size: usize) -> Result<Bytes> {
    let mut event: Value = serde_json::from_slice(sample)?;
    event["queryStringParameters"] = json!({ "limit": size.to_string() });
    event["multiValueQueryStringParameters"] = json!({ "limit": [size.to_string()] });
    Ok(event.to_string().into())
}

/// As [`create_event`], of the sample event of another commit.
///
/// # Errors
/// If it is not JSON.
pub(crate) fn create_event_like(sample: &[u8], patient: &NewPatient) -> Result<Bytes> {
    let mut event: Value = serde_json::from_slice(sample)?;
    let body = json!({
        "name": patient.name,
        "email": patient.email,
        "address": patient.address,
        "dateOfBirth": patient.date_of_birth,
        "registeredDate": patient.registered_date,
    });
    event["body"] = json!(body.to_string());
    Ok(event.to_string().into())
}

/// The id of the patient in a function's response with this status.
///
/// # Errors
/// If it returned anything else.
pub(crate) fn answered(answer: &[u8], status: u16) -> Result<Uuid> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        status_code: u16,
        body: String,
    }
    #[derive(Deserialize)]
    struct Patient {
        id: Uuid,
    }
    let text = || String::from_utf8_lossy(answer);
    let parsed: Answer = serde_json::from_slice(answer)
        .with_context(|| format!("not an HTTP response: {}", text()))?;
    ensure!(
        parsed.status_code == status,
        "expected {status}: {}",
        text()
    );
    let patient: Patient = serde_json::from_str(&parsed.body)
        .with_context(|| format!("no patient was returned: {}", text()))?;
    Ok(patient.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_contain_the_patient_and_the_caller() {
        let id = Uuid::now_v7();
        let event: Value = serde_json::from_slice(&get_event(id).unwrap()).unwrap();
        assert_eq!(event["path"], format!("/api/patients/{id}"));
        assert_eq!(event["requestContext"]["authorizer"]["role"], "ADMIN");

        let patient = NewPatient::fresh();
        let event: Value = serde_json::from_slice(&create_event(&patient).unwrap()).unwrap();
        let body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["email"], patient.email);
        assert_eq!(body["dateOfBirth"], "1983-11-14");
    }

    #[test]
    fn only_the_expected_status_is_accepted() {
        let id = Uuid::now_v7();
        let body = json!({ "id": id }).to_string();
        let answer = json!({ "statusCode": 201, "body": body }).to_string();
        assert_eq!(answered(answer.as_bytes(), 201).unwrap(), id);
        assert!(answered(answer.as_bytes(), 200).is_err());
        assert!(answered(br#"{"errorType":"panic"}"#, 200).is_err());
    }
}
