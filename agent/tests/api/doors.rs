//! Who may come in: Host, token, sockets.

use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use headroom_agent::api::{Listeners, ServeError};
use headroom_agent::config::{Config, Tls};

use crate::support::{Server, TOKEN, settings};

const BODY: &str = r#"{"cpu": {"cpu_allowance_limit": 150}}"#;

/// A server that wants the token.
fn guarded() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let api = settings(&directory, &format!("token_file = \"{}\"", file.display()));
    Server::with(&api, directory)
}

#[test]
fn only_known_hosts_are_answered_on_every_listener() {
    let server = Server::start("allowed_hosts = [\"host0.example\"]");
    for host in ["127.0.0.1", "127.0.0.1:8000", "localhost", "LocalHost:80", "[::1]", "[::1]:8000", "host0.example:8000"] {
        assert_eq!(server.send("GET", "/heartbeat", &[&format!("Host: {host}")], "").status, 200, "{host}");
        assert_eq!(server.send_unix("GET", "/heartbeat", &[&format!("Host: {host}")], "").status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.2", "localhost.evil.example", "127.0.0.1.evil.example:8000", "xlocalhost"] {
        let message = server.send("GET", "/heartbeat", &[&format!("Host: {host}")], "").error(421);
        assert!(message.contains("api.allowed_hosts"), "{message}");
        server.send_unix("GET", "/no/such/path", &[&format!("Host: {host}")], "").error(421);
    }
    for headers in [&["Host:"][..], &["Host: "], &["Host: a b"], &["Host: localhost", "Host: localhost"]] {
        assert_eq!(server.send("GET", "/heartbeat", headers, "").status, 400, "{headers:?}");
    }
    let absolute = server.send("GET", "http://evil.example/heartbeat", &["Host: localhost"], "");
    absolute.error(421);
}

#[test]
fn writes_over_tcp_need_the_token() {
    let server = guarded();
    let put = |header: &str| server.send("PUT", "/container/cont0", &[header], BODY);
    for header in [format!("Authorization: Bearer {TOKEN}"), format!("authorization: bearer  {TOKEN}")] {
        assert_eq!(put(&header).status, 201, "{header}");
    }
    assert_eq!(server.seen().len(), 2);
    for (header, says) in [
        ("X-Nothing: 1".to_owned(), "need the header"),
        ("Authorization: Bearer".to_owned(), "need the header"),
        (format!("Authorization: Basic {TOKEN}"), "need the header"),
        ("Authorization: Bearer ".to_owned() + "wrong", "token is wrong"),
        (format!("Authorization: Bearer {TOKEN}x"), "token is wrong"),
        (format!("Authorization: Bearer {}", &TOKEN[1..]), "token is wrong"),
    ] {
        let answer = put(&header);
        assert!(answer.error(401).contains(says), "{header}: {answer:?}");
        assert!(answer.head.to_lowercase().contains("www-authenticate: bearer"), "{answer:?}");
    }
    assert!(server.seen().is_empty());
    assert_eq!(server.get("/container/cont0").status, 200, "reading needs none");
    assert_eq!(server.send_unix("PUT", "/container/cont0", &[], BODY).status, 201, "the socket's mode guards it");
}

#[test]
fn without_a_token_writes_over_tcp_are_closed_unless_open() {
    let server = Server::start("");
    assert!(server.put("/container/cont0", BODY).error(401).contains("api.token_file"));
    assert_eq!(server.send_unix("PUT", "/container/cont0", &[], BODY).status, 201);
    assert_eq!(Server::open().put("/container/cont0", BODY).status, 201);
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_at_the_end() {
    let mut server = Server::start("");
    let meta = std::fs::metadata(&server.socket).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o660);
    server.end();
    assert!(!server.socket.exists());
    assert!(std::net::TcpStream::connect(server.tcp).is_err());
}

#[test]
fn an_open_connection_does_not_keep_it_from_ending() {
    let mut server = Server::start("");
    let _idle = std::net::TcpStream::connect(server.tcp).unwrap();
    assert_eq!(server.get("/heartbeat").status, 200);
    server.end();
}

#[test]
fn silent_connections_shut_nobody_out() {
    let server = Server::start("");
    let mut silent: Vec<_> = (0..80).map(|_| std::net::TcpStream::connect(server.tcp).unwrap()).collect();
    assert_eq!(server.get("/heartbeat").status, 200);
    // The first to come has given its place, the last still has one.
    silent[0].set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    assert_eq!(silent[0].read(&mut [0]).unwrap_or(0), 0);
    silent[79].set_nonblocking(true).unwrap();
    assert_eq!(silent[79].read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn token_and_hosts_can_be_changed_while_it_serves() {
    let server = guarded();
    let (file, other) = (server.directory.path().join("token"), "another-token-that-is-good");
    let put = |token: &str| server.send("PUT", "/container/cont0", &[&format!("Authorization: Bearer {token}")], BODY).status;
    let ask = |host: &str| server.send("GET", "/heartbeat", &[&format!("Host: {host}")], "").status;
    assert_eq!((put(TOKEN), put(other), ask("host0.example")), (201, 401, 421));
    let set = |more: &str| {
        let api = settings(&server.directory, &format!("token_file = \"{}\"\n{more}", file.display()));
        server.doors.set(&api)
    };
    std::fs::write(&file, other).unwrap();
    set("allowed_hosts = [\"host0.example\"]").unwrap();
    assert_eq!((put(TOKEN), put(other), ask("host0.example")), (401, 201, 200));
    assert_eq!(server.send_unix("GET", "/heartbeat", &["Host: host0.example"], "").status, 200);
    // What cannot be taken over changes nothing.
    std::fs::write(&file, "short").unwrap();
    assert!(set("").unwrap_err().to_string().contains("at least 16"));
    assert_eq!((put(other), ask("host0.example")), (201, 200));
    std::fs::write(&file, TOKEN).unwrap();
    set("").unwrap();
    assert_eq!((put(TOKEN), put(other), ask("host0.example")), (201, 401, 421));
}

/// Binds with these settings.
fn bind(api: &headroom_agent::config::Api) -> Result<Listeners, ServeError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(Listeners::bind(api))
}

#[test]
fn a_dead_agents_socket_is_replaced_and_a_living_ones_is_not() {
    let server = Server::start("");
    let error = bind(&settings(&server.directory, "")).unwrap_err().to_string();
    assert!(error.contains("agent.sock") && error.contains("another agent"), "{error}");
    assert_eq!(server.send_unix("GET", "/heartbeat", &[], "").status, 200);

    let directory = tempfile::tempdir().unwrap();
    let api = settings(&directory, "");
    drop(std::os::unix::net::UnixListener::bind(api.socket.as_ref().unwrap()).unwrap());
    let server = Server::with(&api, directory);
    assert_eq!(server.send_unix("GET", "/heartbeat", &[], "").status, 200);
}

#[test]
fn a_file_in_the_sockets_place_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let api = settings(&directory, "");
    std::fs::write(api.socket.as_ref().unwrap(), "mine").unwrap();
    assert!(matches!(bind(&api), Err(ServeError::Unix { .. })));
    assert_eq!(std::fs::read_to_string(api.socket.as_ref().unwrap()).unwrap(), "mine");
}

#[test]
fn what_cannot_be_listened_on_is_said() {
    let server = Server::start("");
    let taken = settings(&tempfile::tempdir().unwrap(), &format!("listen = \"{}\"", server.tcp));
    let error = bind(&taken).unwrap_err().to_string();
    assert!(error.contains(&server.tcp.to_string()), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let missing = settings(&directory, "token_file = \"/nowhere/token\"");
    assert!(bind(&missing).unwrap_err().to_string().contains("/nowhere/token"));
    let short = directory.path().join("short");
    std::fs::write(&short, "secret").unwrap();
    let short = settings(&directory, &format!("token_file = \"{}\"", short.display()));
    assert!(bind(&short).unwrap_err().to_string().contains("at least 16"));
}

#[test]
fn off_loopback_only_with_a_token() {
    let mut api = Config::parse("", "test.toml").unwrap().api;
    api.socket = None;
    api.listen = Some("0.0.0.0:0".parse().unwrap());
    assert!(matches!(bind(&api), Err(ServeError::OffLoopback(_))));
    api.open_writes = true;
    assert!(matches!(bind(&api), Err(ServeError::OffLoopback(_))));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TOKEN).unwrap();
    api.token_file = Some(file.path().to_owned());
    assert!(matches!(bind(&api), Err(ServeError::OffLoopback(_))), "open writes would pass the token by");
    api.open_writes = false;
    assert!(bind(&api).is_ok());
    api.token_file = None;
    api.tls = Some(Tls { certificate: "/nowhere".into(), key: "/nowhere".into() });
    assert!(matches!(bind(&api), Err(ServeError::OffLoopback(_))), "TLS says who answers, not who asks");
}

#[test]
fn what_is_no_certificate_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    let at = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let certificate = at("c", &own.pem());
    let table = [
        (certificate.clone(), at("none", "hello"), "key has no private key"),
        (at("key", &key.serialize_pem()), at("key", &key.serialize_pem()), "it has no certificate in PEM form"),
        (certificate.clone(), at("other", &other.serialize_pem()), "do not go together"),
        (certificate.clone(), "/nowhere/key".into(), "/nowhere/key"),
    ];
    for (certificate, key, expected) in table {
        let mut api = settings(&directory, "");
        api.tls = Some(Tls { certificate, key });
        let error = bind(&api).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let mut api = settings(&directory, "");
    api.tls = Some(Tls { certificate, key: at("key", &key.serialize_pem()) });
    assert!(bind(&api).is_ok());
}
