//! Whether patients may share a mailbox: a choice of the clinic.

/// What the clinic wants of the e-mail addresses of patients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmailRule {
    /// No two patients have the same first address, and a request with only the flat fields has to
    /// have one. Who has none, such as a child, is registered with `"emails": []`.
    #[default]
    Unique,
    /// Families share mailboxes, and nobody needs one.
    Shared,
}

/// The setting is neither of the two.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("PATIENT_EMAIL: {0} is neither unique nor shared")]
pub struct UnknownEmailRule(String);

impl EmailRule {
    /// Reads `PATIENT_EMAIL`, `unique` or `shared`; unique if it is not set.
    ///
    /// # Errors
    /// If it is neither.
    pub fn from_env() -> Result<Self, UnknownEmailRule> {
        Self::parse(&std::env::var("PATIENT_EMAIL").unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self, UnknownEmailRule> {
        match text {
            "" | "unique" => Ok(Self::Unique),
            "shared" => Ok(Self::Shared),
            _ => Err(UnknownEmailRule(text.to_owned())),
        }
    }
}

store::from_environment!(EmailRule);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unclear_setting_is_an_error() {
        assert_eq!(EmailRule::parse(""), Ok(EmailRule::Unique));
        assert_eq!(EmailRule::parse("shared"), Ok(EmailRule::Shared));
        assert!(EmailRule::parse("Shared").is_err());
    }
}
