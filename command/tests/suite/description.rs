//! The OpenAPI description: what it says is so, and it changes only on purpose.

use foldline_domain::tasks::COMMAND_TYPES;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::service::Service;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/openapi.json");

fn description() -> Value {
    serde_json::to_value(foldline_command::openapi()).unwrap()
}

#[test]
fn the_description_is_the_golden() {
    let mut described = serde_json::to_string_pretty(&description()).unwrap();
    described.push('\n');
    if std::env::var_os("FOLDLINE_WRITE_GOLDENS").is_some_and(|value| value == "1") {
        std::fs::write(GOLDEN, &described).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(
        golden == described,
        "schema/openapi.json is not what the routes say; `make goldens` writes it anew"
    );
}

#[tokio::test]
async fn router_and_description_agree() {
    let service = Service::start().await;
    let description = description();
    let paths = description["paths"].as_object().unwrap();
    // One for each command, one for many, one for what a command would do, and this description.
    assert_eq!(paths.len(), COMMAND_TYPES.len() + 3);
    for (path, operations) in paths {
        let open = path == "/api/v1/openapi.json";
        let address = path
            .replace("{id}", &Uuid::now_v7().to_string())
            .replace("{stepId}", &Uuid::now_v7().to_string());
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            let described = operations.get(method.to_ascii_lowercase()).is_some();
            let answer = service.send(&format!("{method} {address}"), &[], b"").await;
            // Without a token a route that is there refuses; it does not say that it is not there.
            assert_eq!(
                answer.status,
                match (described, open) {
                    (true, true) => 200,
                    (true, false) => 401,
                    (false, _) => 405,
                },
                "{method} {path}"
            );
        }
        if open {
            continue;
        }
        let operation = &operations["post"];
        assert_eq!(operation["security"], json!([{"token": []}]), "{path}");
        for status in ["400", "401", "403", "413", "415", "422", "500", "503"] {
            let problem = &operation["responses"][status]["content"]["application/problem+json"];
            assert!(
                problem["schema"]["$ref"]
                    .as_str()
                    .unwrap()
                    .ends_with("/Problem"),
                "{path} {status}"
            );
        }
    }
}

#[tokio::test]
async fn the_description_and_its_page_are_served_to_anyone() {
    let service = Service::start().await;
    let served = service.send("GET /api/v1/openapi.json", &[], b"").await;
    assert_eq!((served.status, served.value()), (200, description()));
    assert_eq!(served.value()["openapi"], json!("3.1.0"));
    assert_eq!(
        served.value()["components"]["securitySchemes"]["token"]["scheme"],
        json!("bearer")
    );
    let page = service.send("GET /api/docs", &[], b"").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    for (asset, media_type) in [
        ("openapi.js", "text/javascript; charset=utf-8"),
        ("openapi.css", "text/css; charset=utf-8"),
    ] {
        let answer = service
            .send(&format!("GET /api/docs/assets/{asset}"), &[], b"")
            .await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(media_type))
        );
    }
}
