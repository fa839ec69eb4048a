use super::*;

const URIS: &str = "\
'http://mirror.example/debian/dists/bookworm/InRelease' mirror_InRelease 0 \n\
'http://mirror.example/debian/dists/bookworm-updates/InRelease' mirror_updates_InRelease 0 \n\
'http://mirror.example/debian-security/dists/bookworm-security/InRelease' mirror_security_InRelease 0 \n\
'https://tools.example/dists/bookworm-tools/InRelease' tools_InRelease 0 \n\
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' mirror_Packages 0 \n";

fn source(archive: &str, suite: &str) -> Source {
    Source { archive: archive.to_owned(), suite: suite.to_owned() }
}

#[test]
fn sources_are_read_from_what_apt_would_fetch() {
    let sources = parse_uris(URIS);
    assert_eq!(sources.len(), 4);
    assert_eq!(sources[2], source("http://mirror.example/debian-security", "bookworm-security"));
    assert!(parse_uris("").is_empty());
}

#[test]
fn only_the_release_itself_is_taken() {
    let suites: Vec<_> = of_release(&parse_uris(URIS), "bookworm").into_iter().map(|source| source.suite).collect();
    assert_eq!(suites, ["bookworm", "bookworm-updates", "bookworm-security"]);
}

#[test]
fn kernels_come_from_the_machines_own_archive() -> Result<()> {
    let kernels = of_kernels(&parse_uris(URIS), "bookworm")?;
    assert_eq!(kernels[1], source("http://mirror.example/debian-security", "bookworm-security"));
    assert_eq!(kernels[2], source("http://mirror.example/debian", "sid"));
    Ok(())
}

#[test]
fn a_machine_of_a_later_release_finds_the_same_suites() -> Result<()> {
    let kernels = of_kernels(&[source("http://m.example/debian", "trixie")], "trixie")?;
    assert_eq!(kernels[0], source("http://m.example/debian", "bookworm"));
    assert_eq!(kernels[1], source("http://m.example/debian-security", "bookworm-security"));
    Ok(())
}

#[test]
fn without_a_source_for_the_release_the_error_says_so() {
    let error = of_kernels(&[], "trixie").unwrap_err().to_string();
    assert!(error.contains("no source for its own release, trixie"), "{error}");
}

#[test]
fn proxies_are_carried_over_and_hooks_are_not() {
    let machine = "Acquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::IndexTargets::deb::X \"1\";\nDPkg::Post-Invoke:: \"rm\";\n";
    let text = configuration(Path::new("/somewhere/apt"), machine);
    assert!(text.contains("Acquire::http::Proxy \"http://proxy.example:3128\";"));
    assert!(text.contains("Dir::State::lists \"/somewhere/apt/lists\";"));
    assert!(!text.contains("IndexTargets") && !text.contains("Post-Invoke"));
}
