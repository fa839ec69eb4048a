//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Drives headroom-central: structures, rules, services, hosts, applications, users; reads time series and accounts.
///
/// Exit status: 0 done, 1 central refuses, 2 the command line is wrong, 3 central cannot be reached.
#[derive(Debug, Parser)]
#[command(name = "headroomctl", version, arg_required_else_help = true)]
pub(super) struct Cli {
    /// Where central is; also from `HEADROOM_CENTRAL` [default: <http://127.0.0.1:5000>]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) central: Option<String>,
    /// A file with a token; also from `HEADROOM_TOKEN_FILE`, or the token itself from `HEADROOM_TOKEN`
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// The certificate of the authority that central's is from, in PEM; also from `HEADROOM_CA`
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// How answers are shown
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(super) output: Output,
    /// How long central may take, in s
    #[arg(long, global = true, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) timeout: u16,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// How answers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// As central answers.
    Json,
    /// Accounts only.
    Csv,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show documents
    Get {
        /// Of what kind
        #[arg(value_enum)]
        kind: Documents,
        /// Only this one
        name: Option<String>,
    },
    /// Show the hosts of the fleet: which report, what they have free, what is wrong
    Hosts,
    /// A container, an application or a host
    #[command(subcommand)]
    Structure(Structure),
    /// A rule of the Guardian
    #[command(subcommand)]
    Rule(Rule),
    /// The settings of a service
    #[command(subcommand)]
    Service(Service),
    /// A host of the fleet
    #[command(subcommand)]
    Host(Host),
    /// A group of containers
    #[command(subcommand)]
    App(App),
    /// Who owns applications
    #[command(subcommand)]
    User(User),
    /// Show what was used, limited and set over time
    Timeseries(Timeseries),
    /// Show what was used, allocated and reserved, and what it costs
    Accounting(Accounting),
    /// Show who or what changed which limit or setting, newest first
    Decisions(Decisions),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Documents {
    /// Containers, applications and hosts
    #[value(alias = "structure")]
    Structures,
    /// Containers
    #[value(alias = "container")]
    Containers,
    /// Applications
    #[value(aliases = ["app", "application", "applications"])]
    Apps,
    /// Hosts, as their documents say
    #[value(alias = "host")]
    Hosts,
    /// Boundaries and thresholds of the structure that is named
    #[value(alias = "limit")]
    Limits,
    /// The Guardian's rules
    #[value(alias = "rule")]
    Rules,
    /// Settings and heartbeats
    #[value(alias = "service")]
    Services,
    /// Users
    #[value(alias = "user")]
    Users,
}

#[derive(Debug, Subcommand)]
pub(super) enum Structure {
    /// Show it
    Show { name: String },
    /// Have it scaled; with resources named, have these scaled
    Guard { name: String, resources: Vec<String> },
    /// Have it scaled no more; limits stay as they are
    Unguard { name: String, resources: Vec<String> },
    /// Set its limits to its `max`
    Reset { name: String },
    /// Set `max`, `min` or `weight` of a resource
    Set {
        name: String,
        resource: String,
        parameter: String,
        #[arg(allow_negative_numbers = true)]
        value: String,
    },
    /// Set how wide the bands under the limit are
    Boundary {
        name: String,
        resource: String,
        #[arg(allow_negative_numbers = true)]
        value: String,
        /// absolute, `percentage_of_max` or `percentage_of_current`
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
    },
    /// Say what an application does: running, stopped, ..
    State { name: String, state: String },
    /// Subscribe a container with a document: {"container": {..}, "limits": {..}}
    Subscribe {
        name: String,
        /// The document; - is standard input
        #[arg(long)]
        file: PathBuf,
    },
    /// Forget a container's documents
    Remove { name: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum Rule {
    /// Show it
    Show { name: String },
    /// Have it judged
    Activate { name: String },
    /// Have it judged no more
    Deactivate { name: String },
    /// Set by how much it raises
    Amount {
        name: String,
        #[arg(allow_negative_numbers = true)]
        value: String,
    },
    /// Set how the amount is found: amount, proportional, multiplicative, `fit_to_usage`
    Policy { name: String, value: String },
    /// Set how many events it takes
    EventsRequired {
        name: String,
        /// up or down
        direction: String,
        value: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Service {
    /// Show it
    Show { name: String },
    /// Set one of its settings; several values are a list
    Set {
        name: String,
        key: String,
        #[arg(required = true)]
        values: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Host {
    /// Show its document
    Show { name: String },
    /// Subscribe it with a document
    Subscribe {
        name: String,
        /// The document; - is standard input
        #[arg(long)]
        file: PathBuf,
    },
    /// Forget its document
    Remove { name: String },
    /// Add disks, or set what known ones can do (--set), with a document: {"resources": {"disks": [..]}}
    Disks {
        name: String,
        /// The document; - is standard input
        #[arg(long)]
        file: PathBuf,
        /// Set, instead of add
        #[arg(long)]
        set: bool,
    },
}

/// What a new application or user may have, or a document that says so.
#[derive(Debug, Args)]
pub(super) struct Made {
    /// The document; - is standard input
    #[arg(long, conflicts_with_all = ["cpu", "mem"], required_unless_present_all = ["cpu", "mem"])]
    pub(super) file: Option<PathBuf>,
    /// In shares
    #[arg(long, value_name = "MIN:MAX", requires = "mem")]
    pub(super) cpu: Option<String>,
    /// In MiB
    #[arg(long, value_name = "MIN:MAX", requires = "cpu")]
    pub(super) mem: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum App {
    /// Show it
    Show { name: String },
    /// Make it
    Create {
        name: String,
        #[command(flatten)]
        made: Made,
    },
    /// Remove it; its containers stay
    Remove { name: String },
    /// Put a container into it
    Join { app: String, container: String },
    /// Take a container out of it
    Leave { app: String, container: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Show it
    Show { name: String },
    /// Make it
    Create {
        name: String,
        #[command(flatten)]
        made: Made,
    },
    /// Remove it; its applications stay
    Remove { name: String },
    /// Give it an application
    Join { user: String, app: String },
    /// Take an application from it
    Leave { user: String, app: String },
    /// Set `max` or `min` of a resource
    Set {
        name: String,
        resource: String,
        parameter: String,
        #[arg(allow_negative_numbers = true)]
        value: String,
    },
}

/// Times are seconds since the epoch, or how long ago: -90s, -5min, -1h, -2d.
#[derive(Debug, Args)]
pub(super) struct Timeseries {
    /// A container, an application or a host
    #[arg(required_unless_present_any = ["user", "service"])]
    pub(super) structure: Option<String>,
    /// Of a user instead
    #[arg(long, conflicts_with_all = ["structure", "service"])]
    pub(super) user: Option<String>,
    /// Of a service's settings instead
    #[arg(long, conflicts_with = "structure")]
    pub(super) service: Option<String>,
    /// Only these, separated by commas: cpu, mem, ..
    #[arg(long)]
    pub(super) resource: Option<String>,
    /// Only these, separated by commas: usage, current, upper, lower, max, min, free
    #[arg(long)]
    pub(super) field: Option<String>,
    /// From when [default: an hour before --to]
    #[arg(long, allow_hyphen_values = true)]
    pub(super) from: Option<String>,
    /// Until when [default: now]
    #[arg(long, allow_hyphen_values = true)]
    pub(super) to: Option<String>,
    /// What one row stands for: 5s, 1min, 1h, raw
    #[arg(long)]
    pub(super) step: Option<String>,
}

/// Times are seconds since the epoch, or how long ago: -90s, -5min, -1h, -2d.
#[derive(Debug, Args)]
pub(super) struct Accounting {
    /// Of a container
    #[arg(long)]
    pub(super) structure: Option<String>,
    /// Of an application
    #[arg(long)]
    pub(super) app: Option<String>,
    /// Of a user
    #[arg(long)]
    pub(super) user: Option<String>,
    /// From when [default: the beginning]
    #[arg(long, allow_hyphen_values = true)]
    pub(super) from: Option<String>,
    /// Until when [default: now]
    #[arg(long, allow_hyphen_values = true)]
    pub(super) to: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Decisions {
    /// Of one structure
    #[arg(long)]
    pub(super) structure: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    pub(super) limit: u32,
}
