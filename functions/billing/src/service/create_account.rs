//! `CreateBillingAccount`: opens the patient's account.
//!
//! Callers repeat the call until they get a response, so it is idempotent per patient: the first
//! call opens the account, and every other call, concurrent or later, returns the same one. The
//! database's unique constraint decides which is the first.

use contracts::billing::v1::{CreateBillingAccountRequest, CreateBillingAccountResponse};
use fields::EmailAddress;
use sqlx::PgPool;
use tonic::Status;
use uuid::Uuid;

use crate::service::{
    account::{Account, AccountStatus, patient_id},
    database::failed,
};

const MAX_NAME_CHARACTERS: usize = 100;

const MAX_ADDRESS_CHARACTERS: usize = 1000;

pub(crate) async fn create_account(
    database: &PgPool,
    request: &CreateBillingAccountRequest,
) -> Result<CreateBillingAccountResponse, Status> {
    let patient_id = patient_id(&request.patient_id)?;
    let name = name(&request.name)?;
    let email = email(&request.email)?;
    let address = address(&request.address)?;

    let opened = sqlx::query_as!(
        Account,
        r#"INSERT INTO billing.account (id, patient_id, name, email, address)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT ON CONSTRAINT account_patient_unique DO NOTHING
           RETURNING id, patient_id, status AS "status: AccountStatus", created_at"#,
        Uuid::now_v7(),
        patient_id,
        name,
        email.as_ref().map(EmailAddress::as_written),
        address,
    )
    .fetch_optional(database)
    .await
    .map_err(|error| failed(&error))?;

    let account = match opened {
        Some(account) => {
            tracing::info!(accountId = %account.id, patientId = %patient_id, "account opened");
            account
        }
        None => sqlx::query_as!(
            Account,
            r#"SELECT id, patient_id, status AS "status: AccountStatus", created_at
               FROM billing.account
               WHERE patient_id = $1"#,
            patient_id,
        )
        .fetch_one(database)
        .await
        .map_err(|error| failed(&error))?,
    };
    Ok(CreateBillingAccountResponse {
        account: Some(account.into()),
    })
}

pub(super) fn name(text: &str) -> Result<&str, Status> {
    let name = text.trim();
    if name.is_empty() {
        return Err(Status::invalid_argument("name must not be blank"));
    }
    if name.chars().count() > MAX_NAME_CHARACTERS {
        return Err(Status::invalid_argument(format!(
            "name must not be longer than {MAX_NAME_CHARACTERS} characters"
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Status::invalid_argument(
            "name must not contain control characters",
        ));
    }
    Ok(name)
}

/// Some patients have addresses stored before today's rules, and some have none. They get accounts,
/// too.
pub(super) fn email(text: &str) -> Result<Option<EmailAddress>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    EmailAddress::parse_known(text)
        .map(Some)
        .map_err(|_| Status::invalid_argument("email must be an e-mail address"))
}

/// The postal address, in lines. Not all patients have one.
pub(super) fn address(text: &str) -> Result<Option<&str>, Status> {
    let address = text.trim();
    if address.chars().count() > MAX_ADDRESS_CHARACTERS {
        return Err(Status::invalid_argument(format!(
            "address must not be longer than {MAX_ADDRESS_CHARACTERS} characters"
        )));
    }
    if address.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Status::invalid_argument(
            "address must not contain control characters",
        ));
    }
    Ok((!address.is_empty()).then_some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_100_printable_characters() {
        assert_eq!(name(" Zoë Ωmega ").unwrap(), "Zoë Ωmega");
        assert!(name(&"é".repeat(100)).is_ok());
        for text in ["", " \u{3000} ", "a\nb", "a\0b", &"é".repeat(101)] {
            assert!(name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_invalid_email_address_is_rejected() {
        for text in [
            "",
            "zoe@clinic.example",
            "o'brien+tag@sub.clinic.example",
            "用户@例子.广告",
        ] {
            assert!(email(text).is_ok(), "{text}");
        }
        let long = format!("a@{}.example", "b.".repeat(130));
        for text in [
            " ",
            "nobody",
            "a@b@c.example",
            "Zoë <zoe@clinic.example>",
            "a@c.example\nbcc: x",
            &long,
        ] {
            assert!(email(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_has_lines_or_is_not_there() {
        assert_eq!(address(" ").unwrap(), None);
        let lines = "1 Harbour Street\nLondon";
        assert_eq!(address(lines).unwrap(), Some(lines));
        assert!(address("a\tb").is_err());
        assert!(address(&"a".repeat(1001)).is_err());
    }

    #[test]
    fn a_rejection_does_not_repeat_the_input() {
        let refusal = email("zoe.feil.clinic").unwrap_err();
        assert!(!refusal.message().contains("zoe"), "{refusal}");
    }
}
