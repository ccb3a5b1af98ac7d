//! Where appointments are counted: each in two cells, so that neither an hour nor a team has to be
//! put together from many items.

use chrono::NaiveDate;
use uuid::Uuid;

/// An item of counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    /// An hour of a day.
    Hour {
        /// The day.
        day: NaiveDate,
        /// The hour, from 0 to 23.
        hour: u32,
    },
    /// What a team does for a service on a day.
    Team {
        /// The day.
        day: NaiveDate,
        /// The service.
        service: Uuid,
        /// The team.
        team: Team,
    },
}

/// A way to divide appointments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Division {
    /// By hours.
    Hours,
    /// By services and teams.
    Teams,
}

/// Those who provide an appointment together, in the order of their ids. So an appointment with two
/// clinicians is counted once, and for both.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Team(Vec<Uuid>);

/// A key is not one of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sort key is not that of a cell")]
pub(crate) struct MalformedCell;

/// The largest team: its name fits into a sort key.
const MOST_IN_A_TEAM: usize = 16;

impl Team {
    /// These together.
    pub(crate) fn of(ids: &[Uuid]) -> Self {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(MOST_IN_A_TEAM);
        Self(ids)
    }

    /// Each of them.
    pub(crate) fn members(&self) -> &[Uuid] {
        &self.0
    }

    fn name(&self) -> String {
        let ids: Vec<String> = self.0.iter().map(Uuid::to_string).collect();
        ids.join("+")
    }

    fn parse(name: &str) -> Result<Self, uuid::Error> {
        let ids = name.split('+').filter(|id| !id.is_empty());
        ids.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Division {
    /// The partition with the cells of this month.
    pub(crate) fn partition(self, month: NaiveDate) -> String {
        let month = month.format("%Y-%m");
        match self {
            Self::Hours => format!("APPOINTMENT-HOURS#{month}"),
            Self::Teams => format!("APPOINTMENT-TEAMS#{month}"),
        }
    }

    /// The cell with this sort key.
    ///
    /// # Errors
    /// If it is not that of a cell.
    pub(crate) fn cell(self, sort: &str) -> Result<Cell, MalformedCell> {
        let (day, rest) = sort.split_once('#').ok_or(MalformedCell)?;
        let day = day.parse().map_err(|_| MalformedCell)?;
        match self {
            Self::Hours => {
                let hour = rest.parse().ok().filter(|hour| *hour < 24);
                hour.map(|hour| Cell::Hour { day, hour })
                    .ok_or(MalformedCell)
            }
            Self::Teams => {
                let (service, team) = rest.split_once('#').ok_or(MalformedCell)?;
                Ok(Cell::Team {
                    day,
                    service: service.parse().map_err(|_| MalformedCell)?,
                    team: Team::parse(team).map_err(|_| MalformedCell)?,
                })
            }
        }
    }
}

impl Cell {
    /// The partition key.
    pub(crate) fn partition(&self) -> String {
        match self {
            Self::Hour { day, .. } => Division::Hours.partition(*day),
            Self::Team { day, .. } => Division::Teams.partition(*day),
        }
    }

    /// The sort key.
    pub(crate) fn sort(&self) -> String {
        match self {
            Self::Hour { day, hour } => format!("{day}#{hour:02}"),
            Self::Team { day, service, team } => format!("{day}#{service}#{}", team.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_found_by_its_keys() {
        let day = "2026-03-29".parse().unwrap();
        let ids = [Uuid::from_u128(7), Uuid::from_u128(3), Uuid::from_u128(7)];
        let team = Team::of(&ids);
        assert_eq!(team.members(), [ids[1], ids[0]]);
        let service = Uuid::from_u128(1);
        for team in [team, Team::default()] {
            let cell = Cell::Team { day, service, team };
            assert_eq!(cell.partition(), "APPOINTMENT-TEAMS#2026-03");
            assert_eq!(Division::Teams.cell(&cell.sort()), Ok(cell));
        }
        let cell = Cell::Hour { day, hour: 9 };
        assert_eq!(
            (&*cell.partition(), &*cell.sort()),
            ("APPOINTMENT-HOURS#2026-03", "2026-03-29#09")
        );
        assert_eq!(Division::Hours.cell(&cell.sort()), Ok(cell));
    }

    #[test]
    fn a_team_of_any_size_fits_into_a_sort_key() {
        let ids: Vec<Uuid> = (0..1000).map(Uuid::from_u128).collect();
        let cell = Cell::Team {
            day: NaiveDate::MAX,
            service: Uuid::nil(),
            team: Team::of(&ids),
        };
        assert!(cell.sort().len() <= 1024);
    }

    #[test]
    fn other_keys_are_malformed() {
        for key in ["", "2026-03-29", "2026-03-29#24", "2026-03-29#", "today#09"] {
            assert_eq!(Division::Hours.cell(key), Err(MalformedCell), "{key}");
            assert_eq!(Division::Teams.cell(key), Err(MalformedCell), "{key}");
        }
    }
}
