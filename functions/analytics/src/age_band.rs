//! The age bands by which registrations are counted.

use chrono::NaiveDate;

/// A patient's approximate age: coarse enough that a count reveals nothing about one patient's date
/// of birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgeBand {
    /// Under 18 years.
    From0To17,
    /// 18 to 29 years.
    From18To29,
    /// 30 to 44 years.
    From30To44,
    /// 45 to 59 years.
    From45To59,
    /// 60 to 74 years.
    From60To74,
    /// 75 years or more.
    From75,
}

impl AgeBand {
    /// The band of somebody born on `date_of_birth` on the day of their registration. Somebody
    /// registered before their birth counts as newborn, so that the bands of a day always add up to
    /// its registrations.
    #[must_use]
    pub fn at_registration(date_of_birth: NaiveDate, registered_date: NaiveDate) -> Self {
        match registered_date.years_since(date_of_birth).unwrap_or(0) {
            0..=17 => Self::From0To17,
            18..=29 => Self::From18To29,
            30..=44 => Self::From30To44,
            45..=59 => Self::From45To59,
            60..=74 => Self::From60To74,
            75.. => Self::From75,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(date_of_birth: &str, registered_date: &str) -> AgeBand {
        AgeBand::at_registration(
            date_of_birth.parse().unwrap(),
            registered_date.parse().unwrap(),
        )
    }

    #[test]
    fn an_age_band_begins_on_the_birthday() {
        for (age, before, on) in [
            (18, AgeBand::From0To17, AgeBand::From18To29),
            (30, AgeBand::From18To29, AgeBand::From30To44),
            (45, AgeBand::From30To44, AgeBand::From45To59),
            (60, AgeBand::From45To59, AgeBand::From60To74),
            (75, AgeBand::From60To74, AgeBand::From75),
        ] {
            let year = 1940 + age;
            assert_eq!(band("1940-06-15", &format!("{year}-06-14")), before);
            assert_eq!(band("1940-06-15", &format!("{year}-06-15")), on);
        }
    }

    #[test]
    fn somebody_born_on_a_leap_day_has_their_birthday_on_1_march() {
        assert_eq!(band("2000-02-29", "2018-02-28"), AgeBand::From0To17);
        assert_eq!(band("2000-02-29", "2018-03-01"), AgeBand::From18To29);
    }

    #[test]
    fn every_pair_of_dates_has_an_age_band() {
        assert_eq!(band("2024-05-02", "2024-05-01"), AgeBand::From0To17);
        assert_eq!(band("1800-01-01", "2024-05-01"), AgeBand::From75);
        assert_eq!(band("0001-01-01", "9999-12-31"), AgeBand::From75);
    }
}
