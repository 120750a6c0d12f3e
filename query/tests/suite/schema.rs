//! The schema as a contract.

use foldline_query::sdl;
use serde_json::{Value, json};

use crate::support::fixture;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/query.graphql");

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the one switch that rewrites goldens"
)]
fn golden_schema_is_current() {
    if std::env::var("FOLDLINE_WRITE_GOLDENS").is_ok_and(|value| value == "1") {
        std::fs::write(GOLDEN, sdl()).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(
        golden == sdl(),
        "schema/query.graphql is not the schema: run the tests once with FOLDLINE_WRITE_GOLDENS=1 and look at the diff"
    );
}

#[tokio::test]
async fn every_type_field_and_argument_is_described() {
    let fixture = fixture().await;
    let schema = fixture
        .data(
            "{ __schema { types { name description
                fields(includeDeprecated: true) { name description args { name description } }
                inputFields { name description }
                enumValues(includeDeprecated: true) { name description } } } }",
            json!({}),
        )
        .await;
    let mut bare = Vec::new();
    for kind in list(&schema["__schema"]["types"]) {
        let name = kind["name"].as_str().unwrap();
        // What the specification itself defines needs no words of ours.
        let built_in = ["Boolean", "Float", "ID", "Int", "String"].contains(&name);
        if name.starts_with("__") || built_in {
            continue;
        }
        bare.extend(without_description(kind, name));
        for part in ["fields", "inputFields", "enumValues"] {
            for field in list(&kind[part]) {
                let path = format!("{name}.{}", field["name"].as_str().unwrap());
                bare.extend(without_description(field, &path));
                for argument in list(&field["args"]) {
                    let path = format!("{path}({})", argument["name"].as_str().unwrap());
                    bare.extend(without_description(argument, &path));
                }
            }
        }
    }
    assert!(bare.is_empty(), "without a description: {bare:#?}");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn without_description(of: &Value, path: &str) -> Option<String> {
    let described = of["description"]
        .as_str()
        .is_some_and(|text| !text.trim().is_empty());
    (!described).then(|| path.to_owned())
}

#[tokio::test]
async fn the_introspection_query_of_graphiql_is_within_the_limits() {
    let of_type = "{ kind name ".to_owned() + &"ofType { kind name ".repeat(9) + &"}".repeat(10);
    let query = format!(
        "query IntrospectionQuery {{ __schema {{ queryType {{ name }} types {{ ...FullType }} directives {{ name args {{ ...Input }} }} }} }}
         fragment FullType on __Type {{ kind name fields(includeDeprecated: true) {{ name args {{ ...Input }} type {of_type} }} }}
         fragment Input on __InputValue {{ name type {of_type} defaultValue }}"
    );
    let fixture = fixture().await;
    fixture.data(&query, json!({})).await;
}

#[tokio::test]
async fn a_query_that_is_too_deep_too_costly_or_too_often_aliased_is_refused() {
    let fixture = fixture().await;
    let nested = |levels: usize| {
        format!(
            "{{ tasks(first: 1) {{ nodes {{ {} taskId {} }} }} }}",
            "project { tasks(first: 1) { nodes { ".repeat(levels),
            "} } }".repeat(levels)
        )
    };
    fixture.data(&nested(4), json!({})).await;
    assert_eq!(
        fixture.code(&nested(5), json!({})).await,
        "GRAPHQL_VALIDATION_FAILED"
    );

    let pages = |first: i32| {
        format!(
            "{{ projects(first: {first}) {{ nodes {{ tasks(first: 100) {{ nodes {{ title status }} }} }} }} }}"
        )
    };
    fixture.data(&pages(60), json!({})).await;
    assert_eq!(
        fixture.code(&pages(80), json!({})).await,
        "GRAPHQL_VALIDATION_FAILED"
    );

    let aliased = |count: usize| {
        let fields: String = (0..count).map(|n| format!("a{n}: __typename ")).collect();
        format!("{{ {fields} }}")
    };
    fixture.data(&aliased(50), json!({})).await;
    assert_eq!(
        fixture.code(&aliased(51), json!({})).await,
        "TOO_MANY_ALIASES"
    );
}
