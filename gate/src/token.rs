//! Who calls: a signed bearer token names tenant, actor and role.
//!
//! Tokens are JWTs, HS256, under a key derived from the installation's secret. The library's defaults are lax (only
//! `exp` is required, 60 seconds of leeway, `nbf` unchecked), so the times are judged here.

use std::{fmt, str::FromStr};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use chrono::{DateTime, TimeDelta, Utc};
use foldline_events::Tenant;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Problem, Secret, counts_for};

/// How far the clocks of issuer and verifier may be apart, in seconds.
pub const LEEWAY_S: i64 = 5;

/// The longest token that is looked at, in bytes; ours have some 400.
const TOKEN_BYTES_MAX: usize = 4_096;
/// The longest actor, in bytes: it is recorded in every event.
const ACTOR_BYTES_MAX: usize = 200;
const ISSUER: &str = "foldline";
const AUDIENCE: &str = "foldline";

/// What a caller may do; each role may do what those before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Viewer,
    Member,
    Admin,
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub tenant: Tenant,
    /// The token's subject; recorded in events.
    pub actor: String,
    pub role: Role,
    /// Long-lived connections end then.
    pub expires_at: DateTime<Utc>,
}

/// Issues and verifies tokens.
#[derive(Clone)]
pub struct Gate {
    signing: EncodingKey,
    verifying: DecodingKey,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    tenant: String,
    role: Role,
    iat: i64,
    nbf: i64,
    exp: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("an actor is 1 to {ACTOR_BYTES_MAX} bytes without control characters")]
    Actor,
    #[error("a token's lifetime must be positive and end in a year that exists")]
    Lifetime,
    #[error("cannot sign the token")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no role {0:?}: it is viewer, member or admin")]
pub struct UnknownRole(String);

impl Gate {
    pub fn new(secret: &Secret) -> Self {
        let key = secret.derive("tokens");
        Self {
            signing: EncodingKey::from_secret(&key),
            verifying: DecodingKey::from_secret(&key),
        }
    }

    pub fn issue(
        &self,
        tenant: &Tenant,
        actor: &str,
        role: Role,
        lifetime: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<String, IssueError> {
        if !actor_fits(actor) {
            return Err(IssueError::Actor);
        }
        let expires_at = (lifetime > TimeDelta::zero())
            .then(|| now.checked_add_signed(lifetime))
            .flatten()
            .ok_or(IssueError::Lifetime)?;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: actor.to_owned(),
            tenant: tenant.to_string(),
            role,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires_at.timestamp(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing).map_err(IssueError::Sign)
    }

    /// Who the token speaks for, or a 401 that says what is wrong with it.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Caller, Problem> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid("the token is too long to be one of ours"));
        }
        let claims = decode::<Claims>(token, &self.verifying, &validation())
            .map_err(|error| invalid(reason(error.kind())))?
            .claims;
        let leeway = TimeDelta::seconds(LEEWAY_S);
        let malformed = || invalid("the token is malformed: its times are out of range");
        let expires_at = DateTime::from_timestamp(claims.exp, 0).ok_or_else(malformed)?;
        let not_before = DateTime::from_timestamp(claims.nbf, 0).ok_or_else(malformed)?;
        if now >= expires_at + leeway {
            let problem = Problem::new(
                StatusCode::UNAUTHORIZED,
                "TOKEN_EXPIRED",
                "The token has expired",
            );
            return Err(problem.detail(format!("it was valid until {expires_at}")));
        }
        if now + leeway < not_before {
            return Err(invalid("the token is not valid yet"));
        }
        let tenant = Tenant::parse(&claims.tenant)
            .map_err(|_| invalid("the token is malformed: its tenant is not a tenant id"))?;
        if !actor_fits(&claims.sub) {
            return Err(invalid(
                "the token is malformed: its subject is empty or too long",
            ));
        }
        Ok(Caller {
            tenant,
            actor: claims.sub,
            role: claims.role,
            expires_at,
        })
    }

    /// Who makes the request with these headers, by its bearer token.
    #[expect(
        clippy::disallowed_methods,
        reason = "a request enters here, and its token is judged by the time it does"
    )]
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        self.verify(bearer(headers)?, Utc::now())
    }
}

impl<S> FromRequestParts<S> for Caller
where
    Gate: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Gate::from_ref(state).caller(&parts.headers)?;
        counts_for(&parts.extensions, &caller.tenant);
        Ok(caller)
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next().ok_or_else(|| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "TOKEN_MISSING",
            "The request carries no token",
        )
        .detail("send a header `Authorization: Bearer <token>`; `foldline token` makes one")
    })?;
    if given.next().is_some() {
        return Err(invalid("there is more than one Authorization header"));
    }
    (value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty())
        .ok_or_else(|| invalid("the Authorization header is not `Bearer <token>`"))
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    // `verify` judges these itself, by the time it is given.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// The reasons name what the caller can mend, and nothing of keys or signatures' insides.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's enum is non-exhaustive, and whatever else it finds is malformed"
)]
fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "the token was not signed by this installation",
        ErrorKind::InvalidIssuer => "the token was issued by somebody else",
        ErrorKind::InvalidAudience => "the token is meant for somebody else",
        ErrorKind::InvalidAlgorithm => "the token is signed with another algorithm",
        ErrorKind::MissingRequiredClaim(_) => "the token is malformed: it lacks a required claim",
        _ => "the token is malformed",
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "TOKEN_INVALID",
        "The token is not valid",
    )
    .detail(detail)
}

fn actor_fits(actor: &str) -> bool {
    !actor.trim().is_empty()
        && actor.len() <= ACTOR_BYTES_MAX
        && !actor.chars().any(char::is_control)
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        match name {
            "viewer" => Ok(Self::Viewer),
            "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownRole(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
