//! A server's address, written in one way only, so that a database that is
//! bound to it recognises it.

use crate::error::Error;
use std::fmt;

/// Where a server is: scheme, host, port, and a path before the protocol's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl(String);

impl ServerUrl {
    /// Reads `http://host[:port][/path]` or the same with `https`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::setting("server", format!("{text:?} {why}"));
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| bad("is not of the form http://host[:port] or https://host[:port]"))?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => ":80",
            "https" => ":443",
            _ => return Err(bad("begins with neither http:// nor https://")),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if rest.contains(['?', '#']) {
            return Err(bad("has a query or a fragment"));
        }
        if authority.contains('@') {
            return Err(bad("has a user name in it; pass a token instead"));
        }
        let authority = authority.to_ascii_lowercase();
        let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
        let host = match authority.rsplit_once(':') {
            // The colons of an address in brackets separate no port.
            Some((host, port)) if !port.ends_with(']') => {
                if port.parse::<u16>().is_err() {
                    return Err(bad("has a port that is no number from 0 to 65535"));
                }
                host
            }
            _ => authority,
        };
        let printable = |byte: u8| byte.is_ascii_graphic();
        if host.is_empty() || !host.bytes().chain(path.bytes()).all(printable) {
            return Err(bad("has no host that can be reached"));
        }
        let path = path.trim_end_matches('/');
        Ok(Self(format!("{scheme}://{authority}{path}")))
    }

    /// The address as it is stored.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of one of the protocol's requests.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_is_written_in_one_way() {
        let same = |given: &str, normal: &str| {
            let parsed = ServerUrl::parse(given).map(|url| url.to_string());
            assert_eq!(parsed.ok().as_deref(), Some(normal), "{given}");
        };
        same("http://Example.org/", "http://example.org");
        same("HTTPS://example.org:443", "https://example.org");
        same("http://example.org:443", "http://example.org:443");
        same(" http://[::1]:80/ ", "http://[::1]");
        same("http://[::1]", "http://[::1]");
        same("https://a.b/Sync/", "https://a.b/Sync");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (bad, why) in [
            ("example.org", "form http"),
            ("ftp://example.org", "neither http"),
            ("http://", "no host"),
            ("http://:80", "no host"),
            ("http://a b", "no host"),
            ("http://a:99999", "port"),
            ("http://a/?x", "query"),
            ("http://u:p@a", "user name"),
        ] {
            let error = ServerUrl::parse(bad).map_err(|error| error.to_string());
            assert!(
                error.as_ref().is_err_and(|error| error.contains(why)),
                "{bad}: {error:?}"
            );
        }
    }
}
