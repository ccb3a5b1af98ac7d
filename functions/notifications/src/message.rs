//! The messages to patients. Their texts are in `templates/`.

/// A message as the patient reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// Keeps the patient's name out of logs.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").finish_non_exhaustive()
    }
}

/// The sender: the name of the clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clinic(String);

impl Clinic {
    /// A clinic with this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(one_line(name))
    }

    /// Reads `CLINIC_NAME`; "the clinic" if it is not set.
    #[must_use]
    pub fn from_env() -> Self {
        Self::new(&std::env::var("CLINIC_NAME").unwrap_or_default())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.0.is_empty() {
            "the clinic"
        } else {
            &self.0
        }
    }
}

/// The welcome message to a patient with this name.
#[must_use]
pub fn welcome(name: &str, clinic: &Clinic) -> Message {
    let (name, clinic) = (one_line(name), clinic.name());
    Message {
        subject: one_line(&format!(
            include_str!("../templates/welcome-subject.txt"),
            clinic = clinic
        )),
        text: format!(
            include_str!("../templates/welcome.txt"),
            name = name,
            clinic = clinic
        ),
    }
}

/// The text on one line and without control characters, so that no name can start a header or a
/// paragraph.
pub(crate) fn one_line(text: &str) -> String {
    let words = text
        .split(|character: char| character.is_control() || character.is_whitespace())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_is_welcomed_by_name() {
        let message = welcome("Zoë Ærø 🩺", &Clinic::new("Klinik Süd"));
        assert_eq!(message.subject, "Welcome to Klinik Süd");
        assert!(
            message.text.starts_with("Dear Zoë Ærø 🩺,\n"),
            "{}",
            message.text
        );
        assert!(message.text.ends_with("Klinik Süd\n"), "{}", message.text);
    }

    #[test]
    fn a_name_cannot_start_a_line() {
        let clinic = Clinic::new("Us\r\nBcc: all@clinic.example\u{2028}\0");
        let message = welcome("Zoë\r\n\r\nPay here:\u{85}\u{2029}now\u{7}\u{b}", &clinic);
        assert_eq!(message.subject, "Welcome to Us Bcc: all@clinic.example");
        assert!(
            message.text.starts_with("Dear Zoë Pay here: now,\n"),
            "{}",
            message.text
        );
    }

    #[test]
    fn a_name_is_not_expanded_as_a_template() {
        let message = welcome("{clinic} {0} {}", &Clinic::new("{name}"));
        assert_eq!(message.subject, "Welcome to {name}");
        assert!(
            message.text.starts_with("Dear {clinic} {0} {},\n"),
            "{}",
            message.text
        );
    }

    #[test]
    fn without_a_name_the_clinic_is_called_the_clinic() {
        assert_eq!(
            welcome("Zoë", &Clinic::new(" ")).subject,
            "Welcome to the clinic"
        );
    }
}
