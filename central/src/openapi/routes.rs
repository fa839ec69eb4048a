//! Every route that is not described beside its code.

use utoipa::openapi::path::HttpMethod::{Delete, Get, Post, Put};

use super::build::Answer::{self, Any, Document, Documents, Done, Orders};
use super::build::Route;

/// Sorted as the modules that answer them are.
pub(super) const ALL: &[Route] = &[
    get("/heartbeat", "Whether central is alive", Document),
    get("/service", "All services", Documents),
    get("/service/{service}", "One service with its settings", Document),
    put("/service/{service}", "Set several settings in one change", r#"{"WINDOW_TIMELAPSE": 0.5, "EVENT_TIMEOUT": 10}"#),
    put("/service/{service}/{key}", "Set one setting; lists for settings that are lists", r#"{"value": 0.5}"#),
    get("/rule", "All rules", Documents),
    get("/rule/{rule}", "One rule", Document),
    put("/rule/{rule}/activate", "Have it judged", ""),
    put("/rule/{rule}/deactivate", "Have it judged no more", ""),
    put("/rule/{rule}/amount", "Set by how much a rule raises", r#"{"value": 75}"#),
    put(
        "/rule/{rule}/policy",
        "Set how the amount is found: amount, proportional, multiplicative; downwards also fit_to_usage",
        r#"{"value": "amount"}"#,
    ),
    put("/rule/{rule}/events_required", "Set how many events of a direction it takes", r#"{"value": 4, "event_type": "up"}"#),
    get("/structure", "All containers, applications and hosts", Documents),
    get("/structure/{name}", "One of them, with what is reported now", Document),
    put("/structure/{name}/guard", "Have it scaled", ""),
    put("/structure/{name}/unguard", "Have it scaled no more; limits stay", ""),
    put("/structure/{name}/reset", "Set its limits to its max; answered when its agent has done it", ""),
    put("/structure/{name}/state/{state}", "Say what it does: running, stopped, hdfs_downloading, hdfs_uploading", ""),
    get("/structure/{name}/resources", "Its resources", Document),
    put("/structure/{name}/resources/guard", "Have several of its resources scaled", r#"{"resources": ["cpu", "mem"]}"#),
    put(
        "/structure/{name}/resources/unguard",
        "Have several of its resources scaled no more",
        r#"{"resources": ["cpu", "mem"]}"#,
    ),
    get("/structure/{name}/resources/{resource}", "One of its resources", Document),
    put("/structure/{name}/resources/{resource}/guard", "Have a resource scaled", ""),
    put("/structure/{name}/resources/{resource}/unguard", "Have a resource scaled no more", ""),
    get("/structure/{name}/resources/{resource}/{parameter}", "One number of one of its resources", Any),
    put("/structure/{name}/resources/{resource}/{parameter}", "Set max, min or weight", r#"{"value": 200}"#),
    get("/structure/{name}/limits", "Its boundaries and thresholds", Document),
    get("/structure/{name}/limits/{resource}", "Those of one resource", Document),
    put("/structure/{name}/limits/{resource}/boundary", "Set how wide the bands under the limit are", r#"{"value": 25}"#),
    put(
        "/structure/{name}/limits/{resource}/boundary_type",
        "Set how the boundary is meant: absolute, percentage_of_max, percentage_of_current",
        r#"{"value": "percentage_of_max"}"#,
    ),
    put(
        "/structure/host/{name}",
        "Subscribe a host whose agent reports",
        r#"{"name": "host0", "host": "host0", "subtype": "host", "host_rescaler_ip": "host0", "host_rescaler_port": 8000, "resources": {"cpu": {"max": 400, "free": 400}, "mem": {"max": 16384, "free": 16384}, "disks": []}}"#,
    ),
    delete("/structure/host/{name}", "Forget a host"),
    put(
        "/structure/host/{name}/disks",
        "Add disks; those that are known are skipped",
        r#"{"resources": {"disks": [{"name": "sda", "type": "SSD", "load": 1, "path": "/", "max_read": 500, "free_read": 500, "max_write": 400, "free_write": 400}]}}"#,
    ),
    Route {
        method: Post,
        ..put(
            "/structure/host/{name}/disks",
            "Set what disks can do",
            r#"{"resources": {"disks": [{"name": "sda", "max_read": 500, "max_write": 400}]}}"#,
        )
    },
    put(
        "/structure/container/{name}",
        "Subscribe a container that a host reports; its limits are set at once",
        r#"{"container": {"name": "cont0", "host": "host0", "host_rescaler_ip": "host0", "host_rescaler_port": 8000, "guard": false, "subtype": "container", "resources": {"cpu": {"max": 200, "min": 50, "current": 200, "guard": false}, "mem": {"max": 4096, "min": 512, "current": 4096, "guard": false}}}, "limits": {"resources": {"cpu": {"boundary": 25, "boundary_type": "absolute"}, "mem": {"boundary": 256, "boundary_type": "absolute"}}}}"#,
    ),
    delete("/structure/container/{name}", "Forget a container"),
    put("/structure/container/{name}/{app}", "Put a container into an application; into one at most", ""),
    delete("/structure/container/{name}/{app}", "Take it out"),
    put(
        "/structure/apps/{name}",
        "Make an application",
        r#"{"app": {"name": "app1", "guard": false, "subtype": "application", "resources": {"cpu": {"max": 400, "min": 100, "guard": false}, "mem": {"max": 8192, "min": 1024, "guard": false}}}, "limits": {"resources": {"cpu": {"boundary": 25, "boundary_type": "absolute"}, "mem": {"boundary": 256, "boundary_type": "absolute"}}}}"#,
    ),
    delete("/structure/apps/{name}", "Remove an application; its containers stay"),
    get("/user", "All users", Documents),
    get("/user/{name}", "One user", Document),
    put(
        "/user/{name}",
        "Make a user",
        r#"{"user": {"name": "user0", "subtype": "user", "resources": {"cpu": {"max": 800, "min": 0}, "mem": {"max": 16384, "min": 0}}}}"#,
    ),
    delete("/user/{name}", "Remove a user; the applications stay"),
    put("/user/clusters/{user}/{app}", "Give a user an application", ""),
    delete("/user/clusters/{user}/{app}", "Take it away"),
    put("/user/{name}/resources/{resource}/{parameter}", "Set max or min", r#"{"value": 800}"#),
    put("/user/{name}/energy/max", "The same for the energy's max", r#"{"value": 100}"#),
    get("/request", "Requests that wait, those that were refused with the reason, and what agents asked for of late", Documents),
    get("/request/{id}", "One request; 404 once it was carried out", Document),
    put(
        "/request/{id}",
        "Have a limit (or, with the field max, a structure's max) changed by its host's Scaler, under all of its rules",
        r#"{"structure": "cont0", "resource": "cpu", "amount": 75, "field": "current", "priority": 0}"#,
    ),
    delete("/request/{id}", "Take a request back, or forget one that was refused"),
    Route { tag: "fleet", ..get("/fleet", "Every host with how it is, and what is wrong", Document) },
    Route {
        tag: "fleet",
        keys: &[
            ("structure", "Only about this structure"),
            ("host", "Only by this host's agent"),
            ("from", "Only from then on: seconds since the epoch"),
            ("to", "Only before then"),
            ("limit", "At most so many; 100 if missing"),
        ],
        ..get("/decisions", "Who or what changed which limit or setting, when, and why; newest first", Documents)
    },
    Route { tag: "fleet", ..get("/openapi.json", "This document", Document) },
    Route {
        method: Post,
        tag: "agents",
        keys: &[("sent_at", "When it is sent, by the agent's clock: seconds since the epoch")],
        answer: Document,
        ..put(
            "/agent/report",
            "An agent's state, and what it decided",
            r#"{"host": "host0", "instance": "7c1f", "started_at": 1763798400.0, "sequence": 1, "at": 1763798405.0, "version": "0.1.0", "status": {}, "containers": [], "decisions": []}"#,
        )
    },
    Route {
        tag: "agents",
        keys: &[
            ("host", "The host's name"),
            ("instance", "Which agent asks"),
            ("after", "The revision that it has"),
            ("wait", "How long to wait for a newer one, in s"),
        ],
        ..get("/agent/orders", "The documents that concern a host, as soon as they are newer than those it has", Orders)
    },
    Route {
        tag: "centrals",
        keys: &[
            ("after", "The number of the last report that is known; all hosts if missing"),
            ("central", "The id of the central that asks"),
        ],
        ..get("/central/hosts", "Hosts that reported to this central since, as they last did", Document)
    },
    Route {
        method: Post,
        tag: "centrals",
        answer: Document,
        ..put(
            "/central/sets",
            "Have limits set at once by an agent that asks this central; answered when it has done it",
            r#"{"host": "host0", "sets": [{"structure": "cont0", "resource": "cpu", "limit": {"at": 200}}]}"#,
        )
    },
    Route {
        tag: "centrals",
        keys: &[
            ("structure", "A container"),
            ("application", "An application"),
            ("user", "A user"),
            ("from", "Seconds since the epoch"),
            ("to", "Seconds since the epoch, exclusive"),
        ],
        ..get("/central/accounts", "The amounts that this central has counted", Documents)
    },
    Route {
        tag: "centrals",
        keys: &[
            ("structure", "Only about this structure"),
            ("host", "Only by this host's agent"),
            ("from", "Only from then on: seconds since the epoch"),
            ("to", "Only before then"),
            ("limit", "At most so many; 100 if missing"),
        ],
        ..get("/central/decisions", "What was decided or changed by way of this central; newest first", Documents)
    },
];

const fn get(path: &'static str, summary: &'static str, answer: Answer) -> Route {
    Route { method: Get, path, tag: "orchestrator", summary, keys: &[], body: "", answer }
}

/// `body`: an example; empty where none is needed.
const fn put(path: &'static str, summary: &'static str, body: &'static str) -> Route {
    Route { method: Put, path, tag: "orchestrator", summary, keys: &[], body, answer: Done }
}

const fn delete(path: &'static str, summary: &'static str) -> Route {
    Route { method: Delete, path, tag: "orchestrator", summary, keys: &[], body: "", answer: Done }
}
