//! Where a server is, as a `postgres://` URL says it.

use std::fmt;

/// Displayed as a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    /// A name, an address, or the folder of a Unix socket.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) sslmode: Option<String>,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let (rest, query) = split(rest.ok_or("it does not begin with postgres://")?, '?');
        let (authority, path) = split(rest, '/');
        let (user_info, host_port) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user_info.split_once(':').map_or((user_info, None), |(user, password)| (user, Some(password)));
        // An IPv6 address has colons of its own, and brackets.
        let (host, port) = match host_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => host_port.split_once(':').map_or((host_port, None), |(host, port)| (host, Some(port))),
        };
        // What the query says counts, as it does for libpq.
        let said = |name: &str, or: Option<&str>| -> Result<Option<String>, String> {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.find_map(|(key, value)| (key == name).then_some(value)).or(or);
            value.filter(|value| !value.is_empty()).map(decoded).transpose()
        };
        let user = said("user", Some(user))?.ok_or("it names no user")?;
        let host = said("host", Some(host))?.unwrap_or_else(|| "localhost".to_owned());
        if host.contains(',') {
            return Err("it names more than one host".to_owned());
        }
        let port = said("port", port)?.map_or(Ok(5432), |port| port.parse().map_err(|_| format!("{port:?} is no port")))?;
        let database = said("dbname", Some(path))?.unwrap_or_else(|| user.clone());
        Ok(Self { user, password: said("password", password)?, host, port, database, sslmode: said("sslmode", None)? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}", encoded(&self.user))?;
        if let Some(password) = &self.password {
            write!(f, ":{}", encoded(password))?;
        }
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { encoded(&self.host) };
        write!(f, "@{host}:{}/{}", self.port, encoded(&self.database))?;
        self.sslmode.iter().try_for_each(|sslmode| write!(f, "?sslmode={}", encoded(sslmode)))
    }
}

fn split(text: &str, at: char) -> (&str, &str) {
    text.split_once(at).unwrap_or((text, ""))
}

fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let code = digit(rest.next()).zip(digit(rest.next())).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(code.ok_or("a % in it is not followed by two hexadecimal digits")?);
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    // None belongs there, and each would end a line of the files that this is written to.
    if text.contains(char::is_control) { Err("it has a control character".to_owned()) } else { Ok(text) }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn address(user: &str, password: Option<&str>, host: &str, port: u16, database: &str) -> Address {
        let [user, host, database] = [user, host, database].map(str::to_owned);
        Address { user, password: password.map(str::to_owned), host, port, database, sslmode: None }
    }

    #[test]
    fn all_parts_of_a_url_are_read_and_written_alike() {
        let url = "postgres://clove:p%40ss%3A%20@db.example:6543/keys%2F1?sslmode=require";
        let parsed = Address::parse(url).unwrap();
        let sslmode = Some("require".to_owned());
        assert_eq!(parsed, Address { sslmode, ..address("clove", Some("p@ss: "), "db.example", 6543, "keys/1") });
        assert_eq!(parsed.to_string(), url);
    }

    #[test]
    fn what_a_url_leaves_out_is_as_libpq_has_it() {
        assert_eq!(Address::parse("postgresql://clove@").unwrap(), address("clove", None, "localhost", 5432, "clove"));
    }

    #[test]
    fn the_query_may_name_what_the_rest_does_not() {
        let parsed = Address::parse("postgres:///keys?host=/run/postgresql&user=clove&port=5433&password=a%26b");
        assert_eq!(parsed.unwrap(), address("clove", Some("a&b"), "/run/postgresql", 5433, "keys"));
    }

    #[test]
    fn an_ipv6_address_keeps_its_colons() {
        let parsed = Address::parse("postgres://clove@[::1]:6543/keys").unwrap();
        assert_eq!(parsed, address("clove", None, "::1", 6543, "keys"));
        assert_eq!(parsed.to_string(), "postgres://clove@[::1]:6543/keys");
    }

    #[test]
    fn what_is_no_address_of_one_server_is_refused() {
        for url in [
            "mysql://a@b",
            "postgres://host/keys",
            "postgres://a@b:c/d",
            "postgres://a@b,c/d",
            "postgres://a:%4@b",
            "postgres://a:%0A@b",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }
}
