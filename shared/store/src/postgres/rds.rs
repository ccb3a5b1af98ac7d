//! By what a database of Amazon RDS or Aurora is recognised. Its certificates come from authorities of
//! its own, one for each region, which nobody else trusts.

/// All of them, each region's below a comment with its name.
const ROOTS: &str = include_str!("rds_roots.pem");

/// The roots of a region, in PEM.
pub(super) fn roots(region: &str) -> Option<&'static str> {
    let mut sections = ROOTS.split("# ").skip(1);
    let section = sections.find(|section| section.lines().next() == Some(region))?;
    section.split_once('\n').map(|(_, roots)| roots)
}

/// Whether a URL says that its database is recognised by them: `sslrootcert=rds`.
pub(super) fn is_trusted_by(url: &str) -> bool {
    let (_, options) = url.split_once('?').unwrap_or_default();
    options.split('&').any(|option| option == "sslrootcert=rds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_one_root_for_each_kind_of_key() {
        for region in ["us-east-1", "eu-central-1", "ap-southeast-4"] {
            let roots = roots(region).unwrap();
            assert_eq!(
                roots.matches("-----BEGIN CERTIFICATE-----").count(),
                2,
                "{region}"
            );
            assert!(!roots.contains('#'), "{region}");
        }
        for region in ["mars-north-1", "us-east", ""] {
            assert_eq!(roots(region), None, "{region}");
        }
    }

    #[test]
    fn only_an_option_of_this_name_counts() {
        assert!(is_trusted_by("postgres://db.example/x?sslrootcert=rds"));
        assert!(is_trusted_by(
            "postgres://db.example/x?sslmode=verify-full&sslrootcert=rds"
        ));
        for url in [
            "postgres://db.example/x",
            "postgres://db.example/sslrootcert=rds",
            "postgres://db.example/x?sslrootcert=rds.pem",
            "postgres://db.example/x?xsslrootcert=rds",
        ] {
            assert!(!is_trusted_by(url), "{url}");
        }
    }
}
