//! The resources that an appointment could use.

use api::Problem;
use store::Transaction;
use uuid::Uuid;
use zones::Zone;

use crate::{
    patient,
    schedule::{calendar::Bookable, resource::ResourceKind},
};

/// A resource as it is stored.
struct Row {
    id: Uuid,
    number: i32,
    version: i64,
    kind: ResourceKind,
    location_id: Uuid,
    time_zone: String,
}

impl TryFrom<Row> for Bookable {
    type Error = sqlx::Error;

    /// # Errors
    /// If the zone of the location has been renamed in newer zone data.
    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.id,
            number: row.number,
            version: row.version,
            kind: row.kind,
            location: row.location_id,
            zone: Zone::named(&row.time_zone)
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        })
    }
}

fn bookable(rows: Vec<Row>) -> Result<Vec<Bookable>, sqlx::Error> {
    rows.into_iter().map(Bookable::try_from).collect()
}

fn names(kinds: &[ResourceKind]) -> Vec<String> {
    kinds.iter().map(|kind| kind.name().to_owned()).collect()
}

/// All resources of these kinds, at this location or anywhere.
pub(crate) async fn of_kinds(
    transaction: &mut Transaction,
    kinds: &[ResourceKind],
    location: Option<Uuid>,
) -> Result<Vec<Bookable>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT resource.id, number, resource.version, kind AS "kind: ResourceKind", location_id, time_zone
           FROM appointments.resource
           JOIN appointments.location ON location.id = location_id
           WHERE kind = ANY($1) AND ($2::uuid IS NULL OR location_id = $2)
           ORDER BY number"#,
        &names(kinds),
        location,
    )
    .fetch_all(transaction)
    .await?;
    bookable(rows)
}

/// Everything that an appointment could use: the resources that are asked for and, for the other
/// kinds, all that are at the same place. In the order of their numbers.
pub(crate) async fn find(
    transaction: &mut Transaction,
    kinds: &[ResourceKind],
    asked_for: &[Uuid],
    location: Option<Uuid>,
) -> Result<Vec<Bookable>, sqlx::Error> {
    if asked_for.is_empty() {
        return of_kinds(transaction, kinds, location).await;
    }
    let mut found = these(transaction, asked_for).await?;
    found.retain(|resource| {
        kinds.contains(&resource.kind) && location.is_none_or(|place| place == resource.location)
    });
    let asked_for = |kind: &ResourceKind| found.iter().any(|resource| resource.kind == *kind);
    let others: Vec<ResourceKind> = kinds
        .iter()
        .copied()
        .filter(|kind| !asked_for(kind))
        .collect();
    if let (Some(resource), false) = (found.first(), others.is_empty()) {
        let place = Some(resource.location);
        found.extend(of_kinds(transaction, &others, place).await?);
        found.sort_unstable_by_key(|resource| resource.number);
    }
    Ok(found)
}

/// Locks what was found for an appointment of this patient, until the transaction ends. Nothing else is
/// booked with it meanwhile, and its schedules do not change. Resources are locked in the order of their
/// numbers, so no two transactions wait for each other.
///
/// The patient has to be locked before. They still exist when the appointment is booked, or whoever
/// cancels it for their deletion comes later.
///
/// # Errors
/// 404 if there is no such patient any more; or if the database does not respond.
pub(crate) async fn lock_found(
    transaction: &mut Transaction,
    found: &[Bookable],
    patient: Uuid,
) -> Result<Vec<Bookable>, Problem> {
    let ids: Vec<Uuid> = found.iter().map(|resource| resource.id).collect();
    let rows = sqlx::query!(
        r#"SELECT resource.id, number, resource.version, kind AS "kind: ResourceKind", location_id, time_zone,
                  (SELECT patients.is_known($2)) AS "patient_is_known!"
           FROM appointments.resource
           JOIN appointments.location ON location.id = location_id
           WHERE resource.id = ANY($1)
           ORDER BY number
           FOR NO KEY UPDATE OF resource"#,
        &ids,
        patient,
    )
    .fetch_all(transaction)
    .await?;
    patient::must_be_known(rows.iter().all(|row| row.patient_is_known))?;
    let rows = rows.into_iter().map(|row| Row {
        id: row.id,
        number: row.number,
        version: row.version,
        kind: row.kind,
        location_id: row.location_id,
        time_zone: row.time_zone,
    });
    Ok(bookable(rows.collect())?)
}

/// Locks these resources.
pub(crate) async fn lock_these(
    transaction: &mut Transaction,
    ids: &[Uuid],
) -> Result<Vec<Bookable>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT resource.id, number, resource.version, kind AS "kind: ResourceKind", location_id, time_zone
           FROM appointments.resource
           JOIN appointments.location ON location.id = location_id
           WHERE resource.id = ANY($1)
           ORDER BY number
           FOR NO KEY UPDATE OF resource"#,
        ids,
    )
    .fetch_all(transaction)
    .await?;
    bookable(rows)
}

/// These resources.
pub(crate) async fn these(
    transaction: &mut Transaction,
    ids: &[Uuid],
) -> Result<Vec<Bookable>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT resource.id, number, resource.version, kind AS "kind: ResourceKind", location_id, time_zone
           FROM appointments.resource
           JOIN appointments.location ON location.id = location_id
           WHERE resource.id = ANY($1)
           ORDER BY number"#,
        ids,
    )
    .fetch_all(transaction)
    .await?;
    bookable(rows)
}

/// Locks all resources at this location, and counts a change of their schedules.
pub(crate) async fn lock_all_at(
    transaction: &mut Transaction,
    location: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM appointments.resource WHERE location_id = $1
         ORDER BY number
         FOR NO KEY UPDATE",
        location,
    )
    .fetch_all(&mut *transaction)
    .await?;
    sqlx::query!(
        "UPDATE appointments.resource SET version = version + 1 WHERE id = ANY($1)",
        &ids,
    )
    .execute(transaction)
    .await?;
    Ok(ids)
}

/// Where they are.
pub(crate) fn locations(resources: &[Bookable]) -> Vec<(Uuid, &Zone)> {
    let mut locations: Vec<(Uuid, &Zone)> = Vec::new();
    for resource in resources {
        if !locations
            .iter()
            .any(|(known, _)| *known == resource.location)
        {
            locations.push((resource.location, &resource.zone));
        }
    }
    locations
}
