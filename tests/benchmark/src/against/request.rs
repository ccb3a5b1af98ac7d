//! The requests that both commits are sent.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use crate::patients::{NewPatient, create_event_like, get_event_like, list_event_like};

/// How many patients a page has.
pub(super) const PAGE: usize = 20;

/// A request to one of the functions that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Reads a patient.
    Get,
    /// Reads a page of patients.
    List,
    /// Registers a patient, including the delivery to billing and Kafka.
    Create,
}

impl Request {
    const ALL: [Self; 3] = [Self::Get, Self::List, Self::Create];

    /// The request to this function.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn of(function: &str) -> Result<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|request| request.function() == function)
            .with_context(|| {
                let all = Self::ALL.map(Self::function).join(", ");
                format!("{function} cannot be compared, only {all}")
            })
    }

    /// The requests to these functions: all of them if none is named.
    ///
    /// # Errors
    /// If there is none for one of them.
    pub(crate) fn chosen(functions: &[String]) -> Result<Vec<Self>> {
        if functions.is_empty() {
            return Ok(Self::ALL.to_vec());
        }
        functions
            .iter()
            .map(|function| Self::of(function))
            .collect()
    }

    /// The function that it is for.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::Get => "get-patient",
            Self::List => "list-patients",
            Self::Create => "create-patient",
        }
    }

    /// The request as the function receives it, like this sample.
    ///
    /// # Errors
    /// If the sample is not JSON.
    pub(super) fn event(self, sample: &[u8], patient: Uuid) -> Result<Bytes> {
        match self {
            Self::Get => get_event_like(sample, patient),
            Self::List => list_event_like(sample, PAGE),
            Self::Create => create_event_like(sample, &NewPatient::fresh()),
        }
    }

    /// Fails for any answer but the one that is wanted.
    ///
    /// # Errors
    /// For any other.
    pub(super) fn check(self, answer: &[u8]) -> Result<()> {
        let status = if self == Self::Create { 201 } else { 200 };
        let response: Value = serde_json::from_slice(answer)?;
        ensure!(
            response["statusCode"] == status,
            "{} answers: {}",
            self.function(),
            String::from_utf8_lossy(answer)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_all_functions_are_compared_and_otherwise_those() {
        assert_eq!(Request::chosen(&[]).unwrap(), Request::ALL);
        let chosen = Request::chosen(&["create-patient".to_owned()]).unwrap();
        assert_eq!(chosen, [Request::Create]);
        let refused = Request::chosen(&["login".to_owned()]).unwrap_err();
        assert!(refused.to_string().contains("list-patients"), "{refused}");
    }

    #[test]
    fn another_answer_is_an_error() {
        let answer = |status: u16| format!(r#"{{"statusCode":{status},"body":"x"}}"#);
        Request::Create.check(answer(201).as_bytes()).unwrap();
        assert!(Request::Create.check(answer(200).as_bytes()).is_err());
        assert!(Request::Get.check(answer(404).as_bytes()).is_err());
        assert!(Request::Get.check(br#"{"errorType":"panic"}"#).is_err());
    }
}
