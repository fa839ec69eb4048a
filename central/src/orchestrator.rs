//! The Orchestrator API: the paths that existing scripts know, and what they ask for.
//!
//! A question is answered from the documents in memory, with what agents report now laid over them. A change is answered with 201 and the
//! body `201` when it is durable in the State Database. Values may be numbers, booleans or texts of them; each path works with and
//! without a slash at its end; `Content-Type: application/json` without a body is fine where none is needed. What goes beyond is under
//! paths of its own: `PUT /structure/{name}/reset`.

mod applications;
mod ask;
mod containers;
mod disks;
mod fields;
mod hosts;
mod limits;
mod lists;
mod live;
mod members;
mod requests;
mod reset;
mod room;
mod rules;
mod services;
mod structures;
mod users;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post, put};

pub(crate) use self::members::put_in_application;
use crate::answer::Answer;
use crate::central::Central;

/// A longer body is refused with 413.
const LONGEST_BODY: usize = 256 * 1024;

type Reply = Result<Response, Answer>;

/// Refuses what cannot be a structure's name.
pub(crate) fn check_name(name: &str) -> Result<(), Answer> {
    fields::check_name(name).and_then(|()| hosts::check_free_in_paths(name))
}

/// Every path of the Orchestrator API.
pub fn router() -> Router<Central> {
    let with_and_without_slash = |router: Router<Central>, (path, method): (&str, MethodRouter<Central>)| {
        router.route(path, method.clone()).route(&format!("{path}/"), method)
    };
    let routes = of_services().into_iter().chain(of_rules()).chain(of_structures()).chain(of_subscriptions());
    let routes = routes.chain(of_users()).chain(of_requests());
    routes.fold(Router::new(), with_and_without_slash).layer(DefaultBodyLimit::max(LONGEST_BODY))
}

type Routes = Vec<(&'static str, MethodRouter<Central>)>;

fn of_services() -> Routes {
    vec![
        ("/heartbeat", get(ask::heartbeat)),
        ("/service", get(services::list)),
        ("/service/{service}", get(services::one).put(services::set_several)),
        ("/service/{service}/{key}", put(services::set)),
    ]
}

fn of_rules() -> Routes {
    vec![
        ("/rule", get(rules::list)),
        ("/rule/{rule}", get(rules::one)),
        ("/rule/{rule}/activate", put(rules::activate)),
        ("/rule/{rule}/deactivate", put(rules::deactivate)),
        ("/rule/{rule}/amount", put(rules::amount)),
        ("/rule/{rule}/policy", put(rules::policy)),
        ("/rule/{rule}/events_required", put(rules::events_required)),
    ]
}

/// `guard` and `unguard` stand where names of resources and parameters may: those that are asked for are looked up by these names.
fn of_structures() -> Routes {
    vec![
        ("/structure", get(structures::list)),
        ("/structure/{name}", get(structures::one)),
        ("/structure/{name}/guard", put(structures::guard)),
        ("/structure/{name}/unguard", put(structures::unguard)),
        ("/structure/{name}/reset", put(reset::reset)),
        ("/structure/{name}/state/{state}", put(structures::state)),
        ("/structure/{name}/resources", get(structures::resources)),
        ("/structure/{name}/resources/guard", get(structures::resource_called_guard).put(structures::guard_several)),
        ("/structure/{name}/resources/unguard", get(structures::resource_called_unguard).put(structures::unguard_several)),
        ("/structure/{name}/resources/{resource}", get(structures::resource)),
        ("/structure/{name}/resources/{resource}/guard", get(structures::parameter_called_guard).put(structures::guard_one)),
        (
            "/structure/{name}/resources/{resource}/unguard",
            get(structures::parameter_called_unguard).put(structures::unguard_one),
        ),
        ("/structure/{name}/resources/{resource}/{parameter}", get(structures::parameter).put(structures::set_parameter)),
        ("/structure/{name}/limits", get(limits::all)),
        ("/structure/{name}/limits/{resource}", get(limits::one)),
        ("/structure/{name}/limits/{resource}/boundary", put(limits::boundary)),
        ("/structure/{name}/limits/{resource}/boundary_type", put(limits::boundary_type)),
    ]
}

fn of_subscriptions() -> Routes {
    vec![
        ("/structure/host/{name}", put(hosts::subscribe).delete(hosts::remove)),
        ("/structure/host/{name}/disks", put(disks::add).merge(post(disks::set))),
        ("/structure/container/{name}", put(containers::subscribe).delete(containers::remove)),
        ("/structure/container/{name}/{app}", put(members::join).delete(members::leave)),
        ("/structure/apps/{name}", put(applications::subscribe).delete(applications::remove)),
    ]
}

fn of_users() -> Routes {
    vec![
        ("/user", get(users::list)),
        ("/user/{name}", get(users::one).put(users::subscribe).delete(users::remove)),
        ("/user/clusters/{user}/{app}", put(members::take).delete(members::give_up)),
        ("/user/{name}/resources/{resource}/{parameter}", put(users::set_parameter)),
        ("/user/{name}/energy/max", put(users::set_energy)),
    ]
}

fn of_requests() -> Routes {
    vec![("/request", get(requests::list)), ("/request/{id}", get(requests::one).put(requests::make).delete(requests::remove))]
}
