//! `GET /openapi.json`: every path that central answers, for people and generators. `docs/openapi.json` is the same, and a test compares them.

mod build;
mod routes;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

use crate::answer::Answer;
use crate::central::Central;

/// What modules describe beside their code; the rest is [`routes`]'s.
#[derive(OpenApi)]
#[openapi(
    paths(crate::series::timeseries, crate::accounting::accounting),
    tags(
        (name = "orchestrator", description = "Structures, limits, rules, services and users. Paths work with and without a slash at the end; \
            values may be numbers, booleans or texts of them"),
        (name = "fleet", description = "Hosts as their agents report them, and who or what changed what"),
        (name = "series", description = "Time series"),
        (name = "accounting", description = "Used, allocated and reserved amounts, and what they cost"),
        (name = "centrals", description = "What centrals on one CouchDB ask each other, with tokens of the role `central`"),
        (name = "agents", description = "What agents say and ask; described in headroom-model's `wire`"),
    )
)]
struct Described;

/// The whole document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Described::openapi();
    "headroom-central".clone_into(&mut document.info.title);
    document.info.description = Some(
        "The central service of Headroom, which keeps each container's limits just above what it really uses. Where tokens are in use each \
         request needs one: the header `Authorization: Bearer <token>`."
            .to_owned(),
    );
    document.paths.merge(build::paths(routes::ALL));
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Message".to_owned(), build::message());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    document.security =
        Some(vec![SecurityRequirement::default(), SecurityRequirement::new("token", std::iter::empty::<String>())]);
    document
}

/// `GET /openapi.json`
pub fn router() -> Router<Central> {
    Router::new().route("/openapi.json", get(show))
}

async fn show() -> Result<Response, Answer> {
    let text = document().to_pretty_json().map_err(|e| Answer::failed(format!("cannot write the document: {e}")))?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text).into_response())
}
