//! One route for one command: how a request becomes it, and how the API's description shows it.
//!
//! A route is a line of a context's table. Its body is the command's data, with the time beside it and, where something
//! is created, the new id; parameters of the path other than `id` are part of the data. So a command is spelled in one
//! place, the domain, and is read the same from a route, from `/api/v1/commands` and from a history file.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::StatusCode,
    response::Response,
    routing,
};
use chrono::{DateTime, Utc};
use foldline_domain::{Command, InvalidCommand};
use foldline_gate::{OptionalJson, PathParameters, Problem};
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::{
    IntoParams, IntoResponses, PartialSchema, ToSchema,
    openapi::{
        Content, HttpMethod, KnownFormat, Object, ObjectBuilder, PathItem, Paths, Ref, RefOr,
        Required, ResponseBuilder, Schema, SchemaFormat, SecurityRequirement, Type,
        path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
    },
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use uuid::Uuid;

use super::{
    Api,
    answer::{Problems, Refusals, Sender},
    envelope::CommandHeaders,
};
use crate::Accepted;

/// The field of a body that says when it happened.
const AT: &str = "at";
/// The parameter of a path that names the stream, and the field of a body that names the one to be created.
const ID: &str = "id";

#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) command_type: &'static str,
    /// One sentence; more may follow on further lines.
    pub(super) says: &'static str,
    pub(super) aim: Aim,
    /// The field of the data that is made of the command id when it is absent.
    pub(super) made: Option<&'static str>,
    data: fn() -> Described,
}

/// Whose stream a command writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// One that it makes.
    New,
    /// The one that the path names.
    Named,
}

/// The schema of a command's data, and those that it refers to.
struct Described {
    name: String,
    schema: RefOr<Schema>,
    others: Vec<(String, RefOr<Schema>)>,
}

fn described<D: ToSchema>() -> Described {
    let mut others = Vec::new();
    D::schemas(&mut others);
    Described {
        name: D::name().into_owned(),
        schema: D::schema(),
        others,
    }
}

impl Route {
    /// A command that makes a stream.
    pub(super) const fn create<D: ToSchema>(
        path: &'static str,
        command_type: &'static str,
        says: &'static str,
    ) -> Self {
        Self {
            path,
            tag: "",
            command_type,
            says,
            aim: Aim::New,
            made: None,
            data: described::<D>,
        }
    }

    /// A command on the stream that `{id}` in the path names.
    pub(super) const fn change<D: ToSchema>(
        path: &'static str,
        command_type: &'static str,
        says: &'static str,
    ) -> Self {
        Self {
            aim: Aim::Named,
            ..Self::create::<D>(path, command_type, says)
        }
    }

    /// With a field that is made of the command id when it is absent.
    pub(super) const fn making(self, field: &'static str) -> Self {
        Self {
            made: Some(field),
            ..self
        }
    }
}

/// The routes under one heading of the description.
pub(super) fn router(tag: &'static str, routes: &[Route]) -> OpenApiRouter<Api> {
    let routes = routes.iter().map(|route| Route { tag, ..*route });
    routes.fold(OpenApiRouter::new(), |router, route| {
        router.routes(route.described())
    })
}

impl Route {
    async fn answer(self, api: Api, request: Request) -> Result<Response, Problem> {
        let (mut parts, body) = request.into_parts();
        let sender = Sender::from_request_parts(&mut parts, &api).await?;
        let PathParameters(path) =
            PathParameters::<BTreeMap<String, Uuid>>::from_request_parts(&mut parts, &api).await?;
        let request = Request::from_parts(parts, body);
        let OptionalJson(Fields(mut fields)) = OptionalJson::from_request(request, &api).await?;

        let at: Option<DateTime<Utc>> = take(&mut fields, AT)?;
        let id = match self.aim {
            Aim::New => sender.created_id(take(&mut fields, ID)?),
            Aim::Named => path.get(ID).copied().ok_or_else(Problem::internal)?,
        };
        let of_path = path.iter().filter(|(name, _)| *name != ID);
        for (name, value) in of_path {
            if fields.insert(name.clone(), uuid(*value)).is_some() {
                return Err(invalid(&format!("/{name}"), "the path says it already"));
            }
        }
        if let Some(made) = self.made
            && fields.get(made).is_none_or(|value| value.get() == "null")
        {
            fields.insert(made.to_owned(), uuid(sender.created_id(None)));
        }
        let data = serde_json::to_string(&fields).expect("raw JSON under text keys is JSON");
        let command = Command::parse(self.command_type, &data).map_err(|error| match &error {
            InvalidCommand::Data { pointer, .. } => invalid(pointer, &error.problem()),
            InvalidCommand::UnknownType(_) => Problem::internal(),
        })?;
        match self.aim {
            Aim::New => sender.create(command, id, at).await,
            Aim::Named => sender.change(command, id, at).await,
        }
    }

    fn described(self) -> UtoipaMethodRouter<Api> {
        let handler = move |axum::extract::State(api): axum::extract::State<Api>,
                            request: Request| self.answer(api, request);
        let Described {
            name,
            schema,
            mut others,
        } = (self.data)();
        let in_path: Vec<&str> = self
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let body = self.body(schema, &in_path);
        let required = match body.required.is_empty() {
            true => Required::False,
            false => Required::True,
        };
        others.push((name.clone(), RefOr::T(Schema::Object(body))));
        others.push((Accepted::name().into_owned(), Accepted::schema()));
        Accepted::schemas(&mut others);

        let (summary, description) = match self.says.split_once('\n') {
            Some((summary, more)) => (summary, Some(more.trim())),
            None => (self.says, None),
        };
        let mut responses = Refusals::responses();
        responses.extend(Problems::responses());
        let (status, done) = match self.aim {
            Aim::New => ("201", "It was created"),
            Aim::Named => ("200", "It is so now"),
        };
        let accepted = Content::new(Some(Ref::from_schema_name(Accepted::name())));
        let accepted = ResponseBuilder::new()
            .description(done)
            .content("application/json", accepted);
        responses.insert(status.to_owned(), accepted.into());
        let body = RequestBodyBuilder::new()
            .content(
                "application/json",
                Content::new(Some(Ref::from_schema_name(name))),
            )
            .required(Some(required));
        let parameters: Vec<Parameter> = (in_path.iter().map(|name| path_parameter(name)))
            .chain(CommandHeaders::into_params(|| None))
            .collect();
        let operation = OperationBuilder::new()
            .tag(self.tag)
            .summary(Some(summary))
            .description(description)
            .operation_id(Some(self.command_type.replace("tasks.", "")))
            .security(SecurityRequirement::new("token", [""; 0]))
            .parameters(Some(parameters))
            .request_body(Some(body.build()));
        let operation = responses
            .into_iter()
            .fold(operation, |operation, (status, response)| {
                operation.response(status, response)
            });
        let mut paths = Paths::new();
        let item = PathItem::new(HttpMethod::Post, operation);
        paths.paths.insert(self.path.to_owned(), item);
        (others, paths, routing::post(handler))
    }

    /// The data's schema, without what stands in the path, and with what stands beside the data.
    fn body(&self, schema: RefOr<Schema>, in_path: &[&str]) -> Object {
        let RefOr::T(Schema::Object(mut body)) = schema else {
            unreachable!("a command's data is a struct, whose schema is an object's")
        };
        for name in in_path {
            body.properties.remove(*name);
        }
        let made = self.made.unwrap_or_default();
        body.required
            .retain(|name| name != made && !in_path.contains(&name.as_str()));
        for (name, schema) in beside_the_data() {
            if name == AT || self.aim == Aim::New {
                body.properties.insert(name, schema);
            }
        }
        body
    }
}

/// For the description only: what a body holds beside the data.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "utoipa describes properties by the fields of a struct"
)]
struct BesideTheData {
    /// Made of the command id, when absent.
    id: Option<Uuid>,
    /// When it happened, from 1970 to a day ahead; now, when absent. It is not compared with the times of other events.
    at: Option<DateTime<Utc>>,
}

fn beside_the_data() -> impl Iterator<Item = (String, RefOr<Schema>)> {
    let RefOr::T(Schema::Object(object)) = BesideTheData::schema() else {
        unreachable!("a struct's schema is an object's")
    };
    object.properties.into_iter()
}

fn path_parameter(name: &str) -> Parameter {
    let description = match name {
        ID => "Which one.".to_owned(),
        other => format!("Which one: its {other}."),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))),
        ))
        .build()
}

fn uuid(value: Uuid) -> Box<RawValue> {
    to_raw_value(&value).expect("a UUID is JSON")
}

fn take<T: DeserializeOwned>(
    fields: &mut BTreeMap<String, Box<RawValue>>,
    name: &str,
) -> Result<Option<T>, Problem> {
    let Some(value) = fields.remove(name) else {
        return Ok(None);
    };
    // Null is as good as absent, here as in the items of many commands.
    serde_json::from_str::<Option<T>>(value.get())
        .map_err(|error| invalid(&format!("/{name}"), &error.to_string()))
}

fn invalid(pointer: &str, why: &str) -> Problem {
    let at = if pointer.is_empty() {
        "the body"
    } else {
        pointer
    };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "BODY_INVALID",
        "A value in the body is not as it must be",
    )
    .detail(format!("at {at}: {why}"))
    .fault(pointer, why)
}

/// An object's fields as they are written; none twice.
struct Fields(BTreeMap<String, Box<RawValue>>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.contains_key(&name) {
                        let why = format_args!("field `{name}` is given twice");
                        return Err(serde::de::Error::custom(why));
                    }
                    fields.insert(name, value);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}
