//! A table of routes as a part of an `OpenAPI` document.

use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Content, Ref, RefOr, Required, ResponseBuilder};

/// One route.
pub(super) struct Route {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    /// Query keys, with what they are.
    pub(super) keys: &'static [(&'static str, &'static str)],
    /// An example of the body in JSON; empty: none is needed.
    pub(super) body: &'static str,
    pub(super) answer: Answer,
}

/// What is answered when all is well.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// 201, and the body `201`: durable.
    Done,
    /// 200 and an object.
    Document,
    /// 200 and a list of objects.
    Documents,
    /// 200 and any value.
    Any,
    /// 200 and an object, or 204 when there is nothing new.
    Orders,
}

/// `{"message": ".."}`
pub(super) fn message() -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some("What is wrong, and what would be right"));
    ObjectBuilder::new().property("message", text).required("message").build().into()
}

pub(super) fn paths(routes: &[Route]) -> Paths {
    let mut paths = Paths::new();
    for route in routes {
        paths.add_path_operation(route.path, vec![route.method.clone()], operation(route));
    }
    paths
}

fn operation(route: &Route) -> OperationBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String).build();
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut operation = OperationBuilder::new().tag(route.tag).summary(Some(route.summary));
    for name in names {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        operation = operation.parameter(parameter.schema(Some(text())));
    }
    for (key, what) in route.keys {
        let parameter = ParameterBuilder::new().name(*key).parameter_in(ParameterIn::Query).required(Required::False);
        operation = operation.parameter(parameter.description(Some(*what)).schema(Some(text())));
    }
    if !route.body.is_empty() {
        let example: Value = serde_json::from_str(route.body).unwrap_or_default();
        let mut content = Content::new(Some(object()));
        content.example = Some(example);
        let body = RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    let json = |description: &str, schema: RefOr<Schema>| {
        ResponseBuilder::new().description(description).content("application/json", Content::new(Some(schema)))
    };
    let operation = match route.answer {
        Answer::Done => {
            let number = ObjectBuilder::new().schema_type(Type::Integer).examples([json!(201)]).build();
            operation.response("201", json("The change is durable", number.into()))
        }
        Answer::Document => operation.response("200", json("A document", object())),
        Answer::Documents => operation.response("200", json("Documents", ArrayBuilder::new().items(object()).build().into())),
        Answer::Any => {
            operation.response("200", json("The value", ObjectBuilder::new().schema_type(SchemaType::AnyValue).build().into()))
        }
        Answer::Orders => operation
            .response("200", json("The newest orders", object()))
            .response("204", ResponseBuilder::new().description("Nothing changed meanwhile")),
    };
    let error = json(
        "400 a value makes no sense, is not allowed, or is there already; 401 a token is needed; 403 it is not good for this; 404 there is no such \
         thing; 409 another agent has that name; 413, 415, 422 the body; 503 something that is needed does not answer: the change was not made",
        Ref::from_schema_name("Message").into(),
    );
    operation.response("default", error)
}

/// Any document.
fn object() -> RefOr<Schema> {
    ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(true))).build().into()
}
