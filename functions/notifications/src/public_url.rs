//! Where patients reach the API.

use store::setting;

/// The address of the API as patients reach it, if the deployment says so. Without one, messages
/// contain no links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicUrl(Option<String>);

impl PublicUrl {
    /// Reads `PUBLIC_URL`.
    #[must_use]
    pub fn from_env() -> Self {
        setting("PUBLIC_URL").map_or_else(|_| Self::default(), |url| Self::new(&url))
    }

    /// The API at this address.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self(Some(url.trim_end_matches('/').to_owned()))
    }

    /// The address of this path, which begins with a slash.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<String> {
        self.0.as_ref().map(|url| format!("{url}{path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_the_address() {
        let url = PublicUrl::new("https://api.clinic.example/v1/");
        let link = url.of("/unsubscribe/abc");
        assert_eq!(
            link.as_deref(),
            Some("https://api.clinic.example/v1/unsubscribe/abc")
        );
        assert_eq!(PublicUrl::default().of("/unsubscribe/abc"), None);
    }
}
