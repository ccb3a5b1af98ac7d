//! Keyset pagination: an opaque cursor for where the last page ended, and the page size.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error as _};

/// Where the last page ended. Opaque to clients, so that the sort key can change without breaking
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor<K>(pub K);

impl<K: Serialize> Cursor<K> {
    /// The text that a client sends to get the next page.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&self.0).unwrap_or_default())
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Cursor<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .map(Self)
            .ok_or_else(|| D::Error::custom("Must be the nextCursor of the previous page"))
    }
}

/// The number of items per page: 1 to `MOST`, 20 by default. A list whose items are large has a
/// smaller `MOST`: an answer stays below the 6 MB that a function can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit<const MOST: u16 = 100>(u16);

impl<const MOST: u16> Limit<MOST> {
    /// One more than fits on the page: reading it tells whether there is a next page.
    #[must_use]
    pub fn and_one_more(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// The number of items.
    #[must_use]
    pub fn items(self) -> usize {
        usize::from(self.0)
    }

    /// Cuts the items, of which [one more](Self::and_one_more) was read, to the page. Returns the
    /// cursor of the next page if there is one: it continues after the last item, whose sort key is
    /// `place`.
    pub fn cut<T, K: Serialize>(
        self,
        items: &mut Vec<T>,
        place: impl FnOnce(&T) -> K,
    ) -> Option<String> {
        if items.len() <= self.items() {
            return None;
        }
        items.truncate(self.items());
        items.last().map(|last| Cursor(place(last)).encode())
    }
}

impl<const MOST: u16> Default for Limit<MOST> {
    fn default() -> Self {
        Self(20)
    }
}

impl<'de, const MOST: u16> Deserialize<'de> for Limit<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(Self::default());
        };
        let items = text.parse().ok();
        items
            .filter(|items: &u16| items.to_string() == text && (1..=MOST).contains(items))
            .map(Self)
            .ok_or_else(|| D::Error::custom(format_args!("Must be a number from 1 to {MOST}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Page {
        cursor: Option<Cursor<String>>,
        #[serde(default)]
        limit: Limit,
    }

    fn page(name: &str, value: &str) -> Option<Page> {
        let parameter = (name.to_owned(), Json::Text(value.to_owned()));
        Json::Object(vec![parameter]).read("parameter").ok()
    }

    #[test]
    fn a_cursor_survives_the_round_trip() {
        let cursor = Cursor("Zoë".to_owned());
        let page = page("cursor", &cursor.encode()).unwrap();
        assert_eq!(page.cursor, Some(cursor));
    }

    #[test]
    fn a_made_up_cursor_is_rejected() {
        for text in ["ü", "e30", "bm90IGpzb24"] {
            assert_eq!(page("cursor", text), None, "{text}");
        }
        assert_eq!(page("cursor", "").unwrap().cursor, None);
    }

    #[test]
    fn a_page_ends_where_the_next_one_begins() {
        let mut items = vec![1, 2, 3];
        assert_eq!(
            Limit::<100>(2).cut(&mut items, |last| *last),
            Some(Cursor(2).encode())
        );
        assert_eq!(items, [1, 2]);
        assert_eq!(Limit::<100>(2).cut(&mut items, |last| *last), None);
        assert_eq!(items, [1, 2]);
    }

    #[test]
    fn a_page_limit_is_between_1_and_100() {
        let limit = |text| page("limit", text).map(|page| page.limit);
        for text in ["0", "101", "-1", "+1", "01", "1.0", "x"] {
            assert_eq!(limit(text), None, "{text}");
        }
        assert_eq!(limit("100"), Some(Limit(100)));
        assert_eq!(limit(""), Some(Limit::default()));
        let short = |text: &str| Json::Text(text.to_owned()).read::<Limit<50>>("parameter");
        assert_eq!(short("50").unwrap(), Limit(50));
        assert!(short("51").is_err());
    }
}
