//! Which headers pass, and which do not.

use http::{HeaderMap, HeaderName, header};

/// Of a request only what the Messages API knows: no credential, no cookie, and nothing that another gateway has put there.
const TO_UPSTREAM: [&str; 6] = ["accept", "anthropic-beta", "anthropic-version", "content-type", "user-agent", "x-app"];
/// Facts about the client that the SDKs send.
const OF_SDKS: &str = "x-stainless-";

/// Of an answer everything but what is between two ends of a connection (RFC 9110 section 7.6.1), and ...
const BETWEEN_TWO: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// ... what is about the host's own account or address: browsers would take that for the gateway's.
const OF_THE_HOST: [&str; 5] =
    ["alt-svc", "anthropic-organization-id", "clear-site-data", "set-cookie", "strict-transport-security"];
/// ... and its rate limits, which all keys share: the key's own stand in their place.
const OF_SHARED_LIMITS: [&str; 3] = ["anthropic-ratelimit-", "ratelimit", "x-ratelimit-"];

/// The headers that the upstream gets.
pub(crate) fn to_upstream(request: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| TO_UPSTREAM.contains(&name.as_str()) || name.as_str().starts_with(OF_SDKS);
    request.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Leaves of an answer's headers those that the client gets.
pub(crate) fn to_client(answer: &mut HeaderMap) {
    let named = answer.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> = named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    let stays = |name: &str| {
        BETWEEN_TWO.contains(&name)
            || OF_THE_HOST.contains(&name)
            || OF_SHARED_LIMITS.iter().any(|prefix| name.starts_with(prefix))
            || named.iter().any(|named| named == name)
    };
    let gone: Vec<HeaderName> = answer.keys().filter(|name| stays(name.as_str())).cloned().collect();
    for name in gone {
        answer.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_request_passes_on_what_the_messages_api_knows_and_nothing_else() {
        let request = headers(&[
            ("accept", "application/json"),
            ("anthropic-beta", "a,b"),
            ("anthropic-version", "2023-06-01"),
            ("authorization", "Bearer secret"),
            ("connection", "keep-alive"),
            ("content-type", "application/json"),
            ("cookie", "session=secret"),
            ("forwarded", "for=10.0.0.1"),
            ("host", "gateway"),
            ("x-api-key", "secret"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-stainless-lang", "python"),
        ]);
        let expected = ["accept", "anthropic-beta", "anthropic-version", "content-type", "x-stainless-lang"];
        assert_eq!(names(&to_upstream(&request)), expected);
    }

    #[test]
    fn an_answer_passes_but_for_the_connection_the_host_and_shared_limits() {
        let mut answer = headers(&[
            ("anthropic-organization-id", "the host's"),
            ("anthropic-ratelimit-requests-remaining", "3"),
            ("connection", "close, X-Hop"),
            ("content-type", "application/json"),
            ("ratelimit-policy", "shared"),
            ("request-id", "req_1"),
            ("retry-after", "3"),
            ("set-cookie", "a=b"),
            ("transfer-encoding", "chunked"),
            ("x-hop", "1"),
            ("x-should-retry", "true"),
        ]);
        to_client(&mut answer);
        assert_eq!(names(&answer), ["content-type", "request-id", "retry-after", "x-should-retry"]);
    }
}
