//! Where things are, seen from the page that links to them.

use axum::extract::{NestedPath, OriginalUri};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a query's values are encoded of: all but what is never reserved (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Relative references (RFC 3986, section 4.2) from the address that was asked for: they hold at any mount point, and where a proxy
/// cuts off a part of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    page: String,
    within: String,
}

impl Links {
    /// As seen from the address of a request to a mounted router.
    pub(crate) fn of(parts: &Parts) -> Self {
        let inner = parts.uri.path();
        let asked = parts.extensions.get::<OriginalUri>().map_or(inner, |original| original.path());
        let at_slash = parts.extensions.get::<NestedPath>().is_some_and(|mount| mount.as_str().ends_with('/'));
        Self::between(asked, inner, at_slash)
    }

    /// `asked` is the whole path, and `inner` its part below the mount point, which ends in a slash or not.
    fn between(asked: &str, inner: &str, at_slash: bool) -> Self {
        if inner.trim_matches('/').is_empty() {
            let last = asked.rsplit('/').next().unwrap_or_default();
            return match last {
                "" => Self { page: "./".to_owned(), within: "./".to_owned() },
                last => Self { page: format!("./{last}"), within: format!("./{last}/") },
            };
        }
        let mount = asked.strip_suffix(inner).unwrap_or_default();
        let up = "../".repeat(inner.matches('/').count().saturating_sub(1));
        let within = format!("./{up}");
        match mount.rsplit('/').next().filter(|last| !last.is_empty() && !at_slash) {
            Some(last) => Self { page: format!("./{up}../{last}"), within },
            None => Self { page: within.clone(), within },
        }
    }

    /// The page itself.
    pub(crate) fn page(&self) -> &str {
        &self.page
    }

    /// The page with a query, of pairs of names and values.
    pub(crate) fn page_with(&self, query: &[(&str, &str)]) -> String {
        with_query(self.page.clone(), query.iter().copied())
    }

    /// What lies below the page.
    pub(crate) fn within(&self, path: &str) -> String {
        format!("{}{path}", self.within)
    }
}

/// An address with a query, of pairs of names and values.
pub(crate) fn with_query<'a>(address: String, query: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let encode = |text: &'a str| utf8_percent_encode(text, RESERVED);
    let query: Vec<String> = query.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    if query.is_empty() { address } else { format!("{address}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_page_and_below_it_from_wherever_it_is_mounted() {
        for (asked, inner, page, within) in [
            ("/", "/", "./", "./"),
            ("/keys", "/", "./keys", "./keys/"),
            ("/a/b/keys", "/", "./keys", "./keys/"),
            ("/a/b/keys/", "/", "./", "./"),
            ("/assets/x.css", "/assets/x.css", "./../", "./../"),
            ("/a/keys/assets/x.css", "/assets/x.css", "./../../keys", "./../"),
            ("/a/keys/nothing", "/nothing", "./../keys", "./"),
            ("/evil.example", "/", "./evil.example", "./evil.example/"),
            ("//evil.example/x", "//evil.example/x", "./../../", "./../../"),
        ] {
            let links = Links::between(asked, inner, false);
            assert_eq!((links.page(), links.within("").as_str()), (page, within), "{asked}");
        }
        assert_eq!(Links::between("/a/keys/nothing", "/nothing", true).page(), "./", "mounted at /a/keys/");
    }

    #[test]
    fn a_query_is_encoded() {
        let links = Links::between("/keys", "/", false);
        assert_eq!(links.page_with(&[("done", "a&b=c\"")]), "./keys?done=a%26b%3Dc%22");
        assert_eq!(links.page_with(&[]), "./keys");
    }
}
