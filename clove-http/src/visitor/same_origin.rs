//! Whether a request that changes something comes from a page of the same origin: browsers send a host's cookies from anywhere.

use crate::problem::Problem;
use http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts};

/// Refuses what a page of another origin had a browser send, by `Sec-Fetch-Site`, and by `Origin` where a browser is too old for that
/// (OWASP Cross-Site Request Forgery Prevention, "Fetch Metadata"). What is no browser sends neither, and no cookies unasked.
///
/// The management API and the pages ask this of each request; a host asks it of its own forms, as of the one that signs in. The page
/// with the form must not have `Referrer-Policy: no-referrer`: browsers then send `Origin: null`.
///
/// ```
/// use clove_http::require_same_origin;
///
/// # fn demo() -> http::Result<()> {
/// let forged = http::Request::post("/sign-in").header("sec-fetch-site", "cross-site").body(())?;
/// assert!(require_same_origin(&forged.into_parts().0).is_err());
/// # Ok(()) }
/// # demo().unwrap();
/// ```
///
/// # Errors
/// A [`Problem`] of status 403 and kind `cross-site` if the request may change something (its method is none of GET, HEAD and OPTIONS)
/// and comes from a page of another origin, or says so several times.
pub fn require_same_origin(parts: &Parts) -> Result<(), Problem> {
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_safe || is_same_origin(&parts.headers, &parts.uri) {
        return Ok(());
    }
    let detail = "This request was sent by a page of another site. Open this site itself and do it there.";
    Err(Problem::new(StatusCode::FORBIDDEN, "cross-site", "The request comes from another site", detail))
}

fn is_same_origin(headers: &HeaderMap, uri: &Uri) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    match (sites.next(), sites.next()) {
        // `none`: typed into the address bar, or from a bookmark.
        (Some(site), None) => return site == "same-origin" || site == "none",
        (Some(_), Some(_)) => return false,
        (None, _) => {}
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return headers.get(header::ORIGIN).is_none() };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(|authority| authority.as_str()));
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some() && origin == host
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use http::Request;

    fn posted(headers: &[(&'static str, &'static str)]) -> bool {
        let request = headers.iter().fold(Request::post("/keys"), |request, (name, value)| request.header(*name, *value));
        require_same_origin(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn what_a_page_of_another_origin_sends_is_refused() {
        for site in ["cross-site", "same-site", "", "same-origin, cross-site"] {
            assert!(!posted(&[("sec-fetch-site", site), ("origin", "https://keys.example"), ("host", "keys.example")]), "{site}");
        }
        assert!(!posted(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]));
        for origin in
            ["https://evil.example", "null", "https://keys.example.evil.example", "https://keys.example:8443", "keys.example"]
        {
            assert!(!posted(&[("origin", origin), ("host", "keys.example")]), "{origin}");
        }
        assert!(!posted(&[("origin", "https://keys.example")]));
    }

    #[test]
    fn the_same_origin_and_what_is_no_browser_may_go_on() {
        assert!(posted(&[("sec-fetch-site", "same-origin")]));
        assert!(posted(&[("sec-fetch-site", "none")]));
        assert!(posted(&[("origin", "https://keys.example"), ("host", "keys.example")]));
        assert!(posted(&[("host", "keys.example")]));
        assert!(posted(&[]));
    }

    #[test]
    fn reading_is_never_refused() {
        let request = Request::get("/keys").header("sec-fetch-site", "cross-site").body(()).unwrap();
        assert!(require_same_origin(&request.into_parts().0).is_ok());
    }
}
