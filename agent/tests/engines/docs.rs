//! The blocks of `docs/engines.md`.

/// What a section tells people to do.
pub(crate) struct Section {
    /// Commands, in their order.
    pub(crate) commands: Vec<String>,
    /// What goes into `agent.toml`.
    pub(crate) settings: String,
}

/// The section of this heading.
pub(crate) fn section(heading: &str) -> Section {
    let text = include_str!("../../../docs/engines.md");
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let section = rest.split("\n## ").next().unwrap();
    let blocks = |language: &str| -> Vec<String> {
        let fence = format!("```{language}\n");
        section.split(&fence).skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
    };
    Section { commands: blocks("sh"), settings: blocks("toml").concat() }
}

#[test]
fn every_settings_block_is_a_valid_configuration() {
    for heading in ["Docker", "Podman", "LXC", "LXD", "Kubernetes", "systemd", "Cgroups made by hand", "The agent in a container"]
    {
        let config = headroom_agent::config::Config::parse(&section(heading).settings, heading).unwrap();
        assert_eq!((config.containers.len(), config.warnings), (1, Vec::new()), "{heading}");
    }
}
