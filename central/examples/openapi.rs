//! Writes the document of the API: `cargo run -p headroom-central --example openapi > docs/openapi.json`.

use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(writeln!(std::io::stdout(), "{}", headroom_central::openapi::document().to_pretty_json()?)?)
}
