//! What a client sends: the wire form of a request, and what is known of its document before it is executed.

use async_graphql::{
    Name, Positioned, Request, ServerError, Variables,
    parser::types::{
        DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
        SelectionSet,
    },
};
use axum::http::StatusCode;
use foldline_gate::Problem;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::shape::Shape;
use crate::schema::ALIASES_MAX;

/// The parameters of a request, whichever way they came.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Map<String, Value>>,
    extensions: Option<Map<String, Value>>,
}

/// The parameters as a URL carries them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlParameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// A request whose document was parsed.
pub struct Prepared {
    pub request: Request,
    pub operation_type: OperationType,
    pub shape: Shape,
    /// For the span; bounded.
    pub operation_name: String,
}

/// How much of an operation's name is logged, in characters.
const NAME_CHARS_MAX: usize = 100;

impl Parameters {
    /// Of a body: one request. What is not even that is a problem, not a GraphQL error.
    pub fn of_body(text: &str) -> Result<Self, Problem> {
        let body: Value = foldline_gate::parse(text)?;
        Self::of_json(body)
    }

    pub fn of_json(body: Value) -> Result<Self, Problem> {
        if body.is_array() {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "BATCH_REFUSED",
                "Batches are not supported",
            )
            .detail("send one request at a time; HTTP/2 carries many at once"));
        }
        serde_json::from_value(body).map_err(|error| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "BODY_INVALID",
                "A value in the body is not as it must be",
            )
            .detail(format!("not a GraphQL request: {error}"))
        })
    }

    pub fn of_url(url: UrlParameters) -> Result<Self, Problem> {
        Ok(Self {
            query: url.query,
            operation_name: url.operation_name,
            variables: map(url.variables.as_deref(), "variables")?,
            extensions: map(url.extensions.as_deref(), "extensions")?,
        })
    }

    /// Parses the document. The outer error is a request without one; the inner is the document's.
    pub fn prepare(self) -> Result<Result<Prepared, ServerError>, Problem> {
        let query = self.query.ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "QUERY_MISSING",
                "The request has no query",
            )
            .detail("send a JSON object with a text `query`")
        })?;
        let mut request = Request::new(query);
        if let Some(variables) = self.variables {
            request = request.variables(Variables::from_json(Value::Object(variables)));
        }
        if let Some(extensions) = self.extensions {
            let known = extensions.into_iter().filter_map(|(name, value)| {
                Some((name, async_graphql::Value::from_json(value).ok()?))
            });
            request.extensions.0.extend(known);
        }
        request.operation_name = self.operation_name.filter(|name| !name.is_empty());
        Ok(prepared(request))
    }
}

fn map(text: Option<&str>, name: &str) -> Result<Option<Map<String, Value>>, Problem> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => foldline_gate::parse(text).map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "QUERY_INVALID",
                "The address' parameters are not as they must be",
            )
            .detail(format!("the parameter {name} is not a JSON object"))
        }),
    }
}

fn prepared(mut request: Request) -> Result<Prepared, ServerError> {
    let wanted = request.operation_name.clone();
    let document = match request.parsed_query() {
        Ok(document) => document,
        Err(mut error) => {
            error
                .extensions
                .get_or_insert_default()
                .set("code", "GRAPHQL_PARSE_FAILED");
            return Err(error);
        }
    };
    let aliases = aliases(document);
    if aliases > ALIASES_MAX {
        let message =
            format!("the document has {aliases} aliases, and at most {ALIASES_MAX} are allowed");
        return Err(refused(&message, "TOO_MANY_ALIASES"));
    }
    let operation = chosen(document, wanted.as_deref())?;
    let (operation_type, name) = (operation.1.node.ty, operation.0);
    let operation_name = name
        .map_or("", Name::as_str)
        .chars()
        .take(NAME_CHARS_MAX)
        .collect();
    let shape = Shape::new(
        operation_type,
        operation.1.node.selection_set.node.clone(),
        document.fragments.clone(),
    );
    Ok(Prepared {
        request,
        shape,
        operation_type,
        operation_name,
    })
}

/// The operation that will be executed, and its name.
fn chosen<'a>(
    document: &'a ExecutableDocument,
    wanted: Option<&str>,
) -> Result<(Option<&'a Name>, &'a Positioned<OperationDefinition>), ServerError> {
    let found = match (&document.operations, wanted) {
        (DocumentOperations::Single(operation), None) => Some((None, operation)),
        // A single operation under a name is kept among the named ones.
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => operations
            .iter()
            .next()
            .map(|(name, operation)| (Some(name), operation)),
        (DocumentOperations::Multiple(_), None) => None,
        (DocumentOperations::Multiple(operations), Some(wanted)) => operations
            .get_key_value(wanted)
            .map(|(name, operation)| (Some(name), operation)),
    };
    found.ok_or_else(|| {
        refused(
            "operationName must name one of the document's operations",
            "OPERATION_UNKNOWN",
        )
    })
}

fn refused(message: &str, code: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", code);
    error
}

fn aliases(document: &ExecutableDocument) -> usize {
    let operations = document
        .operations
        .iter()
        .map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document
        .fragments
        .values()
        .map(|fragment| &fragment.node.selection_set.node);
    // The parser bounds how deep a document is nested, so this recursion is bounded too.
    operations.chain(fragments).map(aliases_in).sum()
}

fn aliases_in(selections: &SelectionSet) -> usize {
    let of_one = |selection: &Positioned<Selection>| match &selection.node {
        Selection::Field(field) => {
            usize::from(field.node.alias.is_some()) + aliases_in(&field.node.selection_set.node)
        }
        Selection::InlineFragment(fragment) => aliases_in(&fragment.node.selection_set.node),
        Selection::FragmentSpread(_) => 0,
    };
    selections.items.iter().map(of_one).sum()
}
