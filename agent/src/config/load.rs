//! From the file to the checked config.

use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;

use super::reader::{Section, Sheet};
use super::{Config, ConfigError, container, sections, warnings};

impl Config {
    /// Reads and checks a settings file. Every problem in it is reported, not only the first.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&super::file::read("settings file", path)?, &path.display().to_string())
    }

    /// Checks the text of a settings file; `file` is what errors call it. An empty text gives the defaults, which guard nothing.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        read(text, file).map(|(config, _)| config)
    }
}

/// The config, and every key that was looked for.
pub(super) fn read(text: &str, file: &str) -> Result<(Config, std::collections::BTreeSet<String>), ConfigError> {
    let sheet = Sheet::new(text, file);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            sheet.problem(error.span().unwrap_or_default(), "", "", format!("not valid TOML: {}", error.message()));
        }
        return Err(ConfigError::Invalid { problems: sheet.close().0 });
    }
    let config = whole(Section::root(&sheet, &document));
    let (problems, asked) = sheet.close();
    if problems.is_empty() { Ok((config, asked)) } else { Err(ConfigError::Invalid { problems }) }
}

fn whole(root: Section<'_>) -> Config {
    let guardian = sections::guardian(root.section("guardian"));
    let profile = guardian.profile;
    let mut config = Config {
        host: sections::host(root.section("host")),
        agent: sections::agent(root.section("agent")),
        scaler: sections::scaler(root.section("scaler"), profile),
        guardian,
        sampler: sections::sampler(root.section("sampler")),
        discovery: sections::discovery(root.section("discovery")),
        api: sections::api(root.section("api")),
        central: sections::central(root.section("central")),
        containers: root
            .sections("container")
            .into_iter()
            .map(|section| Arc::new(container::container(section, profile)))
            .collect(),
        warnings: Vec::new(),
    };
    root.close();
    config.warnings = warnings::warnings(&config);
    config
}
