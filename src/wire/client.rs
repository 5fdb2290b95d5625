//! Where a request really came from. `Forwarded` and `X-Forwarded-*` count only from trusted proxies.

use axum::http::HeaderMap;
use axum::http::header::FORWARDED;
use ipnet::IpNet;
use std::net::IpAddr;

/// The connection a request came on.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// The other end's address.
    pub peer: IpAddr,
    /// Whether it is encrypted.
    pub is_tls: bool,
}

/// The client as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// `http` or `https`, as the client used it.
    pub scheme: &'static str,
    /// The host that the client asked for, if a proxy tells.
    pub host: Option<String>,
}

/// Looks through trusted proxies: the address is the last one in the chain that no trusted proxy has.
pub fn identify(connection: Connection, headers: &HeaderMap, trusted: &[IpNet]) -> Client {
    let direct = connection.peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let scheme = if connection.is_tls { "https" } else { "http" };
    if !is_trusted(&direct) {
        return Client { address: direct, scheme, host: None };
    }
    let forwarded = Forwarded::read(headers);
    let address = forwarded.chain.iter().rev().copied().chain([direct]);
    // From the nearest proxy outwards, stop at the first address that is none of ours.
    let address = address.clone().find(|address| !is_trusted(address)).or(forwarded.chain.first().copied());
    let scheme = match forwarded.proto.as_deref() {
        Some("https") => "https",
        Some("http") => "http",
        _ => scheme,
    };
    Client { address: address.unwrap_or(direct), scheme, host: forwarded.host }
}

#[derive(Debug, Default)]
struct Forwarded {
    /// Clients as each proxy saw them, the outermost first.
    chain: Vec<IpAddr>,
    proto: Option<String>,
    host: Option<String>,
}

impl Forwarded {
    /// RFC 7239, else the customary headers.
    fn read(headers: &HeaderMap) -> Self {
        let texts = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).map(|part| part.trim().to_owned()).collect()
        };
        let standard = texts(FORWARDED.as_str());
        if standard.is_empty() {
            return Forwarded {
                chain: texts("x-forwarded-for").iter().filter_map(|text| address(text)).collect(),
                proto: texts("x-forwarded-proto").pop().map(|proto| proto.to_ascii_lowercase()),
                host: texts("x-forwarded-host").pop(),
            };
        }
        let mut read = Forwarded::default();
        for element in standard {
            for pair in element.split(';') {
                let Some((name, value)) = pair.trim().split_once('=') else { continue };
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "for" => read.chain.extend(address(value)),
                    "proto" => read.proto = Some(value.to_ascii_lowercase()),
                    "host" => read.host = Some(value.to_owned()),
                    _ => {}
                }
            }
        }
        read
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port).or_else(bracketed).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)], trusted: &[&str]) -> Client {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        identify(Connection { peer: peer.parse().unwrap(), is_tls: false }, &map, &trusted)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let seen = client(
            "198.51.100.9",
            &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "https")],
            &["10.0.0.0/8"],
        );
        assert_eq!((seen.address.to_string().as_str(), seen.scheme), ("198.51.100.9", "http"));
    }

    #[test]
    fn the_first_untrusted_address_from_inside_counts() {
        let chain = [
            ("x-forwarded-for", "203.0.113.7, 198.51.100.9"),
            ("x-forwarded-for", "10.1.2.3"),
            ("x-forwarded-proto", "https"),
        ];
        let seen = client("::ffff:10.0.0.1", &chain, &["10.0.0.0/8"]);
        assert_eq!((seen.address.to_string().as_str(), seen.scheme), ("198.51.100.9", "https"));
        let standard = [("forwarded", r#"for="[2001:db8::1]:4711";proto=https;host=rest.acme.example"#)];
        let seen = client("10.0.0.1", &standard, &["10.0.0.0/8"]);
        assert_eq!(seen.address.to_string(), "2001:db8::1");
        assert_eq!((seen.scheme, seen.host.as_deref()), ("https", Some("rest.acme.example")));
    }

    #[test]
    fn nonsense_is_passed_over() {
        let seen = client("10.0.0.1", &[("x-forwarded-for", "unknown, , 1.2.3")], &["10.0.0.0/8"]);
        assert_eq!(seen.address.to_string(), "10.0.0.1");
    }
}
