//! Who may keep the response to a granted request: the client alone (RFC 9111 section 5.2.2.7).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

/// The headers that a response depends on.
const VARY: [&str; 2] = ["Authorization", "X-Api-Key"];

/// Both of them.
const VARY_BY_BOTH: &str = "Authorization, X-Api-Key";

/// No shared cache may keep it. What the host says that is stricter stays.
pub(super) fn set_private(headers: &mut HeaderMap) {
    if let Entry::Vacant(place) = headers.entry(header::CACHE_CONTROL) {
        place.insert(HeaderValue::from_static("private"));
        return;
    }
    let said = list(headers, &header::CACHE_CONTROL);
    let is = |directive: &str, name: &str| directive.eq_ignore_ascii_case(name);
    if said.iter().any(|directive| is(directive, "private") || is(directive, "no-store")) {
        return;
    }
    let opens = |directive: &String| {
        let name = directive.split('=').next().unwrap_or_default().trim_end();
        // `private` with the names of fields is about those alone.
        is(name, "public") || is(name, "s-maxage") || is(name, "private")
    };
    let kept = said.into_iter().filter(|directive| !opens(directive));
    let all: Vec<String> = std::iter::once("private".to_owned()).chain(kept).collect();
    let value = HeaderValue::try_from(all.join(", ")).unwrap_or(HeaderValue::from_static("private"));
    headers.insert(header::CACHE_CONTROL, value);
}

/// It depends on who asks.
pub(super) fn set_vary(headers: &mut HeaderMap) {
    if let Entry::Vacant(place) = headers.entry(header::VARY) {
        place.insert(HeaderValue::from_static(VARY_BY_BOTH));
        return;
    }
    let said = list(headers, &header::VARY);
    let says = |name: &str| said.iter().any(|said| said == "*" || said.eq_ignore_ascii_case(name));
    match VARY.map(says) {
        [true, true] => {}
        [true, false] => drop(headers.append(header::VARY, HeaderValue::from_static("X-Api-Key"))),
        [false, true] => drop(headers.append(header::VARY, HeaderValue::from_static("Authorization"))),
        [false, false] => drop(headers.append(header::VARY, HeaderValue::from_static(VARY_BY_BOTH))),
    }
}

/// The members of a header that is a list, over all its lines; a comma within quotes parts none.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let mut members = Vec::new();
    for line in headers.get_all(name) {
        let line = String::from_utf8_lossy(line.as_bytes());
        let mut quoted = false;
        let parts = line.split(|char| {
            quoted ^= char == '"';
            char == ',' && !quoted
        });
        members.extend(parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
    }
    members
}
