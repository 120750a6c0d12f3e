use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn gate() -> Gate {
    Gate::new(&Secret::from_bytes(vec![7; 32]).unwrap())
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

fn token_of(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &gate().signing).unwrap()
}

fn claims() -> Value {
    let now = at(0).timestamp();
    json!({"iss": "foldline", "aud": "foldline", "sub": "ada", "tenant": "acme", "role": "member",
           "iat": now, "nbf": now, "exp": now + 60})
}

fn refusal(token: &str, now: DateTime<Utc>) -> (String, String) {
    let problem = gate().verify(token, now).unwrap_err();
    assert_eq!(problem.status, 401);
    (problem.code, problem.detail.unwrap())
}

#[test]
fn a_token_says_who_calls() {
    let token = gate()
        .issue(&acme(), "ada", Role::Member, TimeDelta::seconds(60), at(0))
        .unwrap();
    let caller = gate().verify(&token, at(1)).unwrap();
    let expected = Caller {
        tenant: acme(),
        actor: "ada".to_owned(),
        role: Role::Member,
        expires_at: at(60),
    };
    assert_eq!(caller, expected);
}

#[test]
fn a_token_holds_from_its_start_to_its_end_with_a_small_leeway() {
    let token = token_of(&claims());
    assert!(gate().verify(&token, at(-LEEWAY_S)).is_ok());
    assert!(gate().verify(&token, at(60 + LEEWAY_S - 1)).is_ok());
    assert_eq!(
        refusal(&token, at(-LEEWAY_S - 1)).1,
        "the token is not valid yet"
    );
    assert_eq!(refusal(&token, at(60 + LEEWAY_S)).0, "TOKEN_EXPIRED");
}

#[test]
fn a_token_for_another_audience_or_of_another_issuer_is_refused() {
    for (claim, says) in [
        ("aud", "meant for somebody else"),
        ("iss", "issued by somebody else"),
    ] {
        let mut other = claims();
        other[claim] = json!("elsewhere");
        let (code, detail) = refusal(&token_of(&other), at(1));
        assert_eq!(code, "TOKEN_INVALID");
        assert!(detail.contains(says), "{detail}");
    }
}

#[test]
fn a_token_without_one_of_its_claims_is_refused() {
    for claim in ["iss", "aud", "sub", "tenant", "role", "nbf", "exp", "iat"] {
        let mut lacking = claims();
        lacking.as_object_mut().unwrap().remove(claim);
        assert_eq!(
            refusal(&token_of(&lacking), at(1)).0,
            "TOKEN_INVALID",
            "{claim}"
        );
    }
}

#[test]
fn a_token_signed_by_another_or_by_nobody_is_refused() {
    let other = Gate::new(&Secret::from_bytes(vec![8; 32]).unwrap());
    let token = other
        .issue(&acme(), "ada", Role::Admin, TimeDelta::seconds(60), at(0))
        .unwrap();
    assert_eq!(
        refusal(&token, at(1)).1,
        "the token was not signed by this installation"
    );

    let mine = token_of(&claims());
    let unsigned = format!(
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.{}.",
        mine.split('.').nth(1).unwrap()
    );
    assert_eq!(refusal(&unsigned, at(1)).0, "TOKEN_INVALID");
}

#[test]
fn a_token_with_a_tenant_a_role_or_a_time_that_cannot_be_is_refused() {
    for (claim, value) in [
        ("tenant", json!("a/b")),
        ("role", json!("owner")),
        ("exp", json!(i64::MAX)),
        ("sub", json!(" ")),
    ] {
        let mut odd = claims();
        odd[claim] = value;
        assert_eq!(
            refusal(&token_of(&odd), at(1)).0,
            "TOKEN_INVALID",
            "{claim}"
        );
    }
}

#[test]
fn a_request_without_a_bearer_token_is_refused() {
    let mut headers = HeaderMap::new();
    assert_eq!(gate().caller(&headers).unwrap_err().code, "TOKEN_MISSING");
    for value in [
        "",
        "Bearer",
        "Bearer  ",
        "Basic YWRhOmFkYQ==",
        "Bearer x.y.z",
    ] {
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        assert_eq!(
            gate().caller(&headers).unwrap_err().code,
            "TOKEN_INVALID",
            "{value}"
        );
    }
}

#[test]
fn two_tokens_are_one_too_many() {
    let mut headers = HeaderMap::new();
    for value in ["Bearer x.y.z", "Bearer a.b.c"] {
        headers.append(header::AUTHORIZATION, value.parse().unwrap());
    }
    let problem = gate().caller(&headers).unwrap_err();
    assert_eq!(problem.code, "TOKEN_INVALID");
    assert!(format!("{problem:?}").contains("more than one"));
}

#[test]
fn roles_are_ordered_and_have_names() {
    assert!(Role::Viewer < Role::Member && Role::Member < Role::Admin);
    for role in [Role::Viewer, Role::Member, Role::Admin] {
        assert_eq!(role.to_string().parse::<Role>().unwrap(), role);
    }
    assert!("owner".parse::<Role>().is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic(token in ".*") {
        prop_assert!(gate().verify(&token, at(0)).is_err());
    }
}
