//! A patient as a row of a table: what an import reads again.

use crate::{
    import::layout::Field,
    patient::Patient,
    record::{ContactUse, NameUse},
};

/// The titles.
pub(super) fn header() -> Result<Vec<u8>, api::Error> {
    let fields = Field::ALL.iter().map(|field| field.name());
    row(["id", "recordNumber"]
        .into_iter()
        .chain(fields)
        .map(ToOwned::to_owned))
}

/// The patient.
pub(super) fn of(patient: &Patient) -> Result<Vec<u8>, api::Error> {
    let own = [patient.id.to_string(), patient.record_number.clone()];
    let fields = Field::ALL
        .iter()
        .map(|field| text(patient, *field).unwrap_or_default());
    row(own.into_iter().chain(fields))
}

fn row(fields: impl Iterator<Item = String>) -> Result<Vec<u8>, api::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    Ok(writer.into_inner().map_err(|error| error.to_string())?)
}

fn text(patient: &Patient, field: Field) -> Option<String> {
    let official = patient.names.first();
    let address = patient.addresses.first();
    let identifier = patient.identifiers.first();
    let is_mobile = |phone: &&crate::record::Phone| phone.r#use == Some(ContactUse::Mobile);
    match field {
        Field::Name => Some(patient.name.clone()),
        Field::Prefix => official?.prefix.clone(),
        Field::Given => Some(official?.given.join(" ")),
        Field::Family => official?.family.clone(),
        Field::Suffix => official?.suffix.clone(),
        Field::FormerName => {
            let mut names = patient.names.iter();
            let former = names.find(|name| name.r#use == NameUse::Former)?;
            Some(former.text.clone())
        }
        Field::DateOfBirth => Some(patient.birth_date.value.clone()),
        Field::Sex => {
            let sex = serde_json::to_value(patient.sex?).ok()?;
            sex.as_str().map(ToOwned::to_owned)
        }
        Field::Email => patient.email.clone(),
        Field::Phone => {
            let mut phones = patient.phones.iter();
            Some(phones.find(|phone| !is_mobile(phone))?.number.clone())
        }
        Field::Mobile => Some(patient.phones.iter().find(is_mobile)?.number.clone()),
        Field::Address => patient.address.clone(),
        Field::Street => Some(address?.lines.join(", ")),
        Field::City => address?.city.clone(),
        Field::State => address?.state.clone(),
        Field::PostalCode => address?.postal_code.clone(),
        Field::Country => address?.country.clone(),
        Field::Language => patient.language.clone(),
        Field::RegisteredDate => Some(patient.registered_date.to_string()),
        Field::DeceasedDate => Some(patient.deceased_date?.to_string()),
        Field::IdentifierSystem => Some(identifier?.system.clone()),
        Field::Identifier => Some(identifier?.value.clone()),
        Field::Restricted => Some(patient.restricted.to_string()),
    }
}
